#!/bin/bash
# A client of which each thread ends with a task that nobody collects holds as many tasks as it has, and not a part of the table for
# each thread: others are served beside it, check names it, and its results are given up after their time. Nothing is left when it is
# killed in between.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<CONFIG
meta_registry: {members: 16, lanes: 32, tasks: 1024, result_ttl: 15s}
swarms:
  - service: echo_service
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}
CONFIG
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen echo_service --config "$config"
until_true apiary discover echo

# ---- 700 threads: 11 of the 16 parts of the table are enough for their tasks, and there are 32 lanes

start "$folder/ended" "$APIARY_TEST_BIN/cli_ended" echo 700 100
ended=$last
until_true grep -q '^accepted ' "$folder/ended"
grep -qx 'accepted 700: all' "$folder/ended" || fail "a thread for each request: $(cat "$folder/ended")"
expect 0 '^hello$' apiary delegate echo hello
until_true eval 'apiary check | grep -qE "results wait to be collected past their deadlines, [67][0-9][0-9] of them by pid $ended"'
# Those that answered last are left last.
parts()
{
    apiary status --json >"$folder/status" && python3 - "$folder/status" <<'PYTHON'
import json, sys
usage = json.load(open(sys.argv[1]))["usage"]
print(usage["slabs_leased"])
sys.exit(usage["results_left"] + usage["results_forgotten"] < 700)
PYTHON
}
until parts >"$folder/slabs" 2>/dev/null; do turn; done
[ "$(cat "$folder/slabs")" -le 14 ] || fail "the parts of the table: $(cat "$folder/status")"
until_true eval 'apiary status --json | grep -q "\"results_forgotten\": 700"'
until_true apiary check
expect 0 'result that nobody has collected given up' shmdump --json
expect 0 '' shmdump --verify

# ---- killed with some of each

start "$folder/ended" "$APIARY_TEST_BIN/cli_ended" echo 100000 100
ended=$last
until_true eval 'apiary status --json | grep -qE "\"results_not_collected\": [1-9][0-9]"'
kill -KILL "$ended"
until_true eval 'apiary status --json | grep -q "\"tasks_used\": 0"'
expect 0 '' shmdump --verify
expect 0 '^hello$' apiary delegate echo hello

[ "$failures" -eq 0 ]
