#!/bin/bash
# What was counted over the last week: apiaryd keeps it, each task once. Killed at any moment, it loses the step that is not over, and
# the time in which nobody looked is a gap, in which nothing was counted. Where nothing can be written that is told once, everything
# else goes on, and so does the history when there is room again.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64}
swarms:
  - service: text_service
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo.text]}
      - {name: failing, kind: exec, capabilities: [text.fail], config: {command: ["false"]}}
END
state=$folder/state/apiary/${APIARY_SEGMENT#/}

daemon_start()
{
    start "$folder/daemon" apiaryd --config "$config"
    daemon=$last
    until_true grep -q 'created\|took over' "$folder/daemon"
}
delegate() # delegate COUNT
{
    local i
    for ((i = 0; i < $1; i++)); do apiary delegate echo.text x --timeout 5m >/dev/null || fail "delegate $i"; done
}
# told EXPRESSION: what Python says of the answer j: its sum of a count, its gaps, and whether all in it is sound. Into $answer.
told()
{
    apiary history --json --step 10s "${@:2}" >"$folder/json" || fail 'history --json'
    answer=$(python3 - "$folder/json" "$1" <<'PYTHON'
import json, sys
j = json.load(open(sys.argv[1]))
def total(name, **row):
    return sum(r.get(name, 0) for s in j["steps"] for r in s["rows"] if all(j["rows"][r["row"]].get(k) == v for k, v in row.items()))
def ran():
    return sum(n for s in j["steps"] for r in s["rows"] for n in r.get("ran", [])[1::2])
before = 0
for s in j["steps"]:
    assert s["at_ms"] > before and s["at_ms"] % 10000 == 0, s
    assert 0 < s["watched_ms"] <= 40000, s
    before = s["at_ms"]
    for g in j["gaps"]:
        assert s["at_ms"] <= g["from_ms"] or s["at_ms"] - s["watched_ms"] >= g["to_ms"] - 2000, (s, g)
print(eval(sys.argv[2]))
PYTHON
    ) || fail "judged: $(tail -c 1000 "$folder/json")"
}
is_told() # is_told EXPRESSION VALUE
{
    told "$1"
    [ "$answer" = "$2" ]
}

# ---- counted once, in each form

expect 1 'nothing is kept in .* yet' apiary history
daemon_start
start "$folder/text" apiary queen text_service --config "$config"
queen=$last
until_true apiary wait text_service --timeout 1s
until_true test -e "$state/past.db"
until_true is_told 'j["first_ms"] is not None' True
delegate 7
apiary delegate text.fail x >/dev/null 2>&1
until_true is_told 'total("done"), total("failed")' '(7, 1)'
is_told 'len(j["gaps"]), ran()' '(0, 8)' || fail "gaps and times: $answer"
told 'total("done", agent="echo"), total("failed", agent="failing")' --of agents
[ "$answer" = '(7, 1)' ] || fail "agents: $answer"
told 'total("done", capability="echo.text"), total("failed", capability="text.fail")' --of pairs
[ "$answer" = '(7, 1)' ] || fail "pairs: $answer"
told 'any("memory_bytes" in r for s in j["steps"] for r in s["rows"])'
[ "$answer" = True ] || fail 'no memory is told'
expect 0 '^20[0-9T:-]+Z +7 +1 +87.50 %' apiary history --step 10m
expect 0 'ran p50 +p99.9' apiary history text_service --percentile 99.9
expect 0 '' apiary history nobody
[ "$(stat -c %a "$state/past.db")" = 600 ] || fail "its mode is $(stat -c %a "$state/past.db")"
expect 64 "'x' is no time" apiary history --step x
expect 64 'is neither a span' apiary history --since soon
expect 64 'no number from 50 to 99.99' apiary history --percentile 30
expect 64 'services, agents and pairs' apiary history --of tasks --json

# ---- killed: a gap, and what was counted in it nowhere

kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
delegate 5
kill -KILL "$queen"
wait "$queen" 2>/dev/null
start "$folder/text" apiary queen text_service --config "$config"
queen=$last
until_true apiary wait text_service --timeout 1s
daemon_start
until_true is_told 'len(j["gaps"])' 1
kill -KILL "$daemon" # in the first step after it
wait "$daemon" 2>/dev/null
daemon_start
until_true is_told 'j["last_ms"] > j["gaps"][-1]["to_ms"]' True
delegate 3
until_true is_told 'total("done")' 10
is_told 'len(j["gaps"]), ran()' '(1, 11)' || fail "gaps and times: $answer"
expect 0 'nobody looked for' apiary history --step 10s


# ---- nothing can be written there

kill -TERM "$daemon"
wait "$daemon" || fail "the daemon ended with $?"
mv "$state" "$state.away"
: >"$state"
daemon_start
until_true grep -q 'the history is not kept: cannot' "$folder/daemon"
delegate 2
rm "$state"
mv "$state.away" "$state"
until_true grep -q 'the history is kept again' "$folder/daemon"
[ "$(grep -c 'the history is not kept' "$folder/daemon")" -eq 1 ] || fail "told more than once: $(cat "$folder/daemon")"
until_true is_told 'j["last_ms"] > j["gaps"][-1]["to_ms"]' True
delegate 4
until_true is_told 'total("done")' 14

# ---- damaged: put aside, and begun anew

kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
head -c 100000 /dev/zero | tr '\0' x >"$state/past.db"
rm -f "$state/past.db-wal" "$state/past.db-shm"
expect 1 'cannot read' apiary history
daemon_start
until_true grep -q 'put aside as past.db.damaged-' "$folder/daemon"
until_true is_told 'len(j["steps"]) > 0, len(j["gaps"])' '(True, 0)'
ends
