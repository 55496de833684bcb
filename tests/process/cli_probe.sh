#!/bin/bash
# Health probes: each agent of a capability and of a service, one that is stuck, one that is stopped, and one that has gone.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 2048}
swarms:
  - service: one
    agents:
      - {name: say, kind: exec, capabilities: [say], config: {command: [sh, -c, 'echo one >>$folder/ran'], concurrency: 1}}
      - {name: other, kind: exec, capabilities: [more], config: {command: [sh, -c, 'echo other >>$folder/ran']}}
  - service: two
    agents:
      - {name: say, kind: exec, capabilities: [say], config: {command: [sh, -c, 'cat $folder/gate'], concurrency: 1}}
END
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
for s in one two; do
    start "$folder/$s" apiary queen "$s" --config "$config"
    [ "$s" = two ] && two=$last
done
until_true sh -c '[ "$(apiary discover say | grep -c " yes ")" = 2 ] && apiary discover more | grep -q " yes "'

# of FILE SERVICE/AGENT=OUTCOME...: what is told of each
of()
{
    python3 - "$1" "${@:2}" <<'PYTHON'
import json, sys
o = json.load(open(sys.argv[1]))
rows = {}
for a in o["agents"]:
    name = a["service"] + "/" + a["agent"]
    assert name not in rows, o
    assert a["answered"] == ("latency_ns" in a) == ("error" not in a), a
    rows[name] = "yes" if a["answered"] else a["error"]
expected = dict(a.split("=", 1) for a in sys.argv[2:])
assert rows == expected, o
assert o["ok"] == all(v == "yes" for v in rows.values()), o
PYTHON
}

expect 0 '^one/0 say: answered in ' apiary probe say
expect 0 '^two/0 say: answered in ' apiary probe say --timeout 10m
expect 0 '^one/0 other: answered in ' apiary probe one --timeout 10m
[ "$(wc -l <<<"$output")" = 2 ] || fail "one has two agents: $output"
apiary probe say --json --timeout 10m >"$folder/out" || fail "all answer: $(cat "$folder/out")"
of "$folder/out" one/say=yes two/say=yes || fail "probe --json: $(cat "$folder/out")"
expect 0 '^$' apiary delegate --probe more
expect 64 'nothing is run' apiary delegate --probe more data
expect 64 'a probe has no body' apiary delegate --probe --delay 1s more
expect 4 'neither a capability nor a service' apiary probe nothing
expect 64 'not a duration' apiary probe say --timeout never

# ---- one has its hands full, beside all that waits; its neighbour answers. A drain is no matter.

number=$(apiary discover say --json | python3 -c 'import json, sys; print([p["provider"] for p in json.load(sys.stdin)["providers"] if p["service"] == "two"][0])')
start "$folder/held" apiary delegate --provider "$number" --timeout 10m say
held=$last
until_true sh -c '[ "$(apiary task ls --state running | grep -c say)" = 1 ]'
expect 7 '^two/0 say: NO ANSWER in 100.00 ms: its process is there, and it takes no task' apiary probe say --timeout 100ms
grep -q '^one/0 say: answered' <<<"$output" || fail "a neighbour answers: $output"
start "$folder/waiting" apiary probe two --timeout 10m
waiting=$last
until_true sh -c "shmdump $APIARY_SEGMENT --json --tasks | grep -q '\"state\": \"queued\"'"
echo go >"$folder/gate"
wait "$held" || fail "a task beside a probe: $(cat "$folder/held")"
wait "$waiting" || fail "a probe that waits is answered when a hand is free: $(cat "$folder/waiting")"
expect 0 . apiary drain one --timeout 10m
expect 0 '^one/0 other: answered in ' apiary probe one --timeout 10m

# ---- its process is stopped, and killed

stop "$two"
expect 7 '^two/0 say: NO ANSWER in 100.00 ms' apiary probe two --timeout 100ms
kill -CONT "$two"
expect 0 '^two/0 say: answered' apiary probe two --timeout 10m
kill -KILL "$two"
wait "$two"
apiary probe say --json --timeout 10m >"$folder/out"
[ $? = 1 ] || fail 'one has gone, and the exit code is not 1'
of "$folder/out" one/say=yes two/say=APIARY_ENOPROVIDER || fail "with one gone: $(cat "$folder/out")"
expect 4 'it has gone' apiary probe two
[ ! -e "$folder/ran" ] || fail "a probe has run something: $(cat "$folder/ran")"
[ "$(apiary task ls | grep -c say)" = 0 ] || fail "tasks are left: $(apiary task ls)"
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
