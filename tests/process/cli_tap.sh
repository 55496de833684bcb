#!/bin/bash
# The last tasks: what failed, was slow or is traced is told from the segment whoever has died, all others only while somebody taps,
# and a tapper that is killed does not leave that on.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, slow_task: 1h, finished_rings: 2}
swarms:
  - service: first
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo.text]}
      - {name: breaker, kind: exec, capabilities: [break.it], config: {command: [/bin/false]}}
END
expect 3 'no such segment' apiary tap
expect 64 "'soon' is no time" apiary tap --slower soon
expect 64 "'0' is not a number above 0" apiary tap --count 0
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
start "$folder/first" apiary queen first -c "$config"
queen=$last
until_true apiary wait --all -c "$config" --timeout 1s

finished() { shmdump "$APIARY_SEGMENT" --json | python3 -c "
import json, sys
for f in json.load(sys.stdin)['finished']: print(f['end'], f['capability'], f['caller'] or '-', f['agent'], f['error'] or '-', f['attempt'], f['trace'] or '-', f['parent_span'] or '-')"; }

# Without a tap: not what ends well and quickly; but what fails, and what is traced.
apiary delegate echo.text hello >/dev/null || fail 'echo'
[ -z "$(finished)" ] || fail "a quick task is told of: $(finished)"
apiary delegate break.it >/dev/null 2>&1 && fail 'nothing broke'
# The caller has its result a moment before the worker has told of the end.
told_as() { [ "$(finished | tail -n "+$1")" = "$2" ]; }
until_true told_as 1 'failed break.it - first/breaker APIARY_EAGENT 1 - -'
apiary delegate echo.text traced --traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 >/dev/null || fail 'traced'
apiary delegate echo.text unsampled --traceparent 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00 >/dev/null || fail 'unsampled'
until_true told_as 2 'done echo.text - first/echo - 1 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331'

# While somebody taps: everything, and each filter.
start "$folder/all" apiary tap
all=$last
start "$folder/failed" apiary tap --failed --count 1
failed=$last
start "$folder/slow" apiary tap --slower 1h
start "$folder/json" apiary tap --json --capability echo.text --to first --from - --count 2
json=$last
for f in all failed slow; do until_true grep -q CAPABILITY "$folder/$f"; done
tapped() { [ "$(shmdump "$APIARY_SEGMENT" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["header"]["tapped_until"])')" -gt 0 ]; }
until_true tapped
told() { apiary delegate echo.text "$1" >/dev/null; [ "$(grep -c 'first/echo *echo.text .* done' "$folder/all")" -ge 2 ] && ! kill -0 "$json"; }
until_true told again
wait "$json" || fail 'the tap of two tasks'
apiary delegate break.it >/dev/null 2>&1
wait "$failed" || fail 'the tap of one failure'
grep -q 'first/breaker *break.it .* failed with 1' "$folder/failed" || fail "a failure: $(cat "$folder/failed")"
[ "$(grep -vc CAPABILITY "$folder/failed")" -eq 1 ] || fail "beside the failure: $(cat "$folder/failed")"
[ "$(grep -vc CAPABILITY "$folder/slow")" -eq 0 ] || fail "what is not slow: $(cat "$folder/slow")"
python3 - "$folder/json" <<'PYTHON' || fail "the JSON: $(cat "$folder/json")"
import json, sys
text, all = open(sys.argv[1]).read(), []
while text.strip():
    o, end = json.JSONDecoder().raw_decode(text.lstrip())
    all.append(o); text = text.lstrip()[end:]
assert len(all) == 2, all
for o in all:
    assert o["capability"] == "echo.text" and o["end"] == "done" and o["agent"] == "first/echo" and o["error"] is None, o
    assert o["started_ns"] >= o["queued_ns"] and o["finished_ns"] >= o["started_ns"] and o["body_size"] > 0 and o["result_size"] > 0, o
PYTHON
kill -INT "$all"
wait "$all" || fail 'a tap that is interrupted ends well'

# More than the records hold is counted, and not kept back.
start "$folder/stopped" apiary tap
stopped=$last
until_true grep -q CAPABILITY "$folder/stopped"
stop "$stopped"
for i in $(seq 300); do echo "$i"; done | xargs -n 100 -P 1 sh -c 'for i; do apiary delegate echo.text "$i" >/dev/null; done' sh
kill -CONT "$stopped"
until_true grep -q 'come too fast to be told' "$folder/stopped"

# A tapper that is killed: what it had asked for is over a moment later, and the failures are where they were.
kill -KILL "$stopped"
kill -KILL "$(jobs -p | tail -1)" 2>/dev/null
quiet()
{
    apiary delegate echo.text "$RANDOM" >/dev/null
    before=$(finished | grep -c '^done')
    apiary delegate echo.text "$RANDOM" >/dev/null
    [ "$(finished | grep -c '^done')" -eq "$before" ]
}
pkill_own() { local pid; for pid in $(jobs -rp); do tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'apiary tap' && kill -KILL "$pid"; done; true; }
pkill_own
until_true quiet
[ "$(finished | grep -c '^failed break.it')" -eq 2 ] || fail "a tap has pushed out failures: $(finished | grep ^failed)"

# After everybody has died the segment still tells.
kill -KILL "$queen" "$daemon"
wait "$queen" "$daemon" 2>/dev/null
cp "/dev/shm$APIARY_SEGMENT" "$folder/copy"
expect 0 'failed +.*first/breaker +break.it' shmdump "$folder/copy"
shmdump --verify "$folder/copy" >/dev/null
[ $? -le 1 ] || fail "the copy is corrupt: $(shmdump --verify "$folder/copy")"
exit $((failures > 0))
