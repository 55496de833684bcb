#!/bin/bash
# An agent that takes its time, and more tasks than it can do: a task that would wait past its deadline is refused at once, with the
# time after which to come again; what was accepted is done in time.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<CONFIG
meta_registry: {members: 32, lanes: 64, tasks: 2048}
swarms:
  - service: slow_service
    agents:
      - {name: slow, kind: exec, capabilities: [slow], config: {command: [sleep, '1'], concurrency: 1}}
CONFIG
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen slow_service --config "$config"
until_true apiary discover slow
expect 0 '' apiary delegate slow
for i in {1..3}; do start "$folder/caller.$i" apiary delegate --timeout 120s slow; callers[$i]=$last; done
for i in {1..40}; do apiary delegate --detach --timeout 600s slow >/dev/null; done # work that nobody waits for

paced()
{
    apiary route explain slow --json | python3 -c '
import json, sys
c = json.load(sys.stdin)["candidates"][0]
sys.exit(not (c["pace_ns"] > 100e6 and c["load"] > 10))'
}
until_true paced
expect 5 "agent 'slow' has [0-9]+ tasks waiting, each of [0-9]+ us: this one would wait past its deadline;.*; retry after [0-9]+ ms" \
    apiary delegate --timeout 400ms slow
apiary delegate --json --timeout 400ms slow >"$folder/json"
[ $? = 5 ] || fail "a refusal in JSON: $(cat "$folder/json")"
python3 - "$folder/json" <<'PYTHON' || fail "a refusal in JSON: $(cat "$folder/json")"
import json, sys
o = json.load(open(sys.argv[1]))
assert o["error"] == "APIARY_EBACKLOG" and o["retry_after_ns"] > 0 and o["task"] is None, o
PYTHON
apiary route explain slow --json | python3 -c '
import json, sys
assert json.load(sys.stdin)["candidates"][0]["refused"] >= 2' || fail 'refusals are not counted'
for i in {1..3}; do wait "${callers[$i]}" || fail "accepted, and: $(cat "$folder/caller.$i")"; done
[ "$failures" -eq 0 ]
