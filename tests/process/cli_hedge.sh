#!/bin/bash
# Hedged tasks: beside a slow provider the slowest answers come from the fast one; the first answer counts and the other copy is
# cancelled; and whoever is killed between the two, the caller or either provider, nothing is lost and nothing is left.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
gate=$folder/gate started=$folder/started
cat >"$config" <<CONFIG
meta_registry: {members: 64, lanes: 96, tasks: 4096}
swarms:
  - service: slow_service
    agents:
      - name: slow
        kind: exec
        capabilities: [{name: mixed, idempotent: true, balance: round_robin}]
        config: {command: [/bin/sh, -c, 'sleep 4; cat'], concurrency: 32}
      - name: held_slow
        kind: exec
        capabilities:
          - {name: held, idempotent: true, balance: round_robin}
          - {name: declared, idempotent: true, hedge: 50ms}
          - {name: lonely, idempotent: true, hedge: 10ms, rules: [{fallback: once}]} # which is not idempotent
        config: {command: [/bin/sh, -c, 'echo slow >>$started; cat $gate; cat']}
  - service: fast_service
    agents:
      - name: fast
        kind: exec
        capabilities: [{name: mixed, idempotent: true, balance: round_robin}]
        config: {command: [/bin/cat], concurrency: 32}
      - name: held_fast
        kind: exec
        capabilities: [{name: held, idempotent: true, balance: round_robin}, {name: declared, idempotent: true, hedge: 50ms}, once]
        config: {command: [/bin/sh, -c, 'echo fast >>$started; cat $gate; cat']}
CONFIG
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/slow" apiary queen slow_service --config "$config"
slow=$last
start "$folder/fast" apiary queen fast_service --config "$config"
fast=$last
until_true eval 'apiary discover mixed | grep -c _service | grep -qx 2'
until_true eval 'apiary discover held | grep -c _service | grep -qx 2'

# ---- twenty callers, half of whom come to the slow one

times() # times FILE CAPABILITY OPTION...: of each of the callers, in ms, sorted
{
    local file=$1 capability=$2 pids=()
    shift 2
    rm -f "$file"
    for i in {1..20}; do
        (
            begun=$(date +%s%N)
            [ "$(apiary delegate "$capability" hello --timeout 20m "$@")" = hello ] || echo failed
            echo $((($(date +%s%N) - begun) / 1000000))
        ) >>"$file" &
        pids+=($!)
    done
    wait "${pids[@]}"
    grep -q failed "$file" && fail "a caller got no answer"
    sort -n -o "$file" "$file"
}

sent()
{
    apiary capability show "$1" --json | python3 -c 'import json, sys
h = json.load(sys.stdin)["hedging"]
print(h["sent"], h["answered_first"])'
}

times "$folder/without" mixed
times "$folder/with" mixed --hedge 200ms
echo "the slowest of 20 callers, without and with a second copy after 200 ms: $(tail -1 "$folder/without") ms, $(tail -1 "$folder/with") ms"
[ "$(tail -1 "$folder/with")" -lt "$(tail -1 "$folder/without")" ] || fail "a second copy makes nobody faster"
[ "$(tail -1 "$folder/without")" -ge 4000 ] || fail "nobody came to the slow one"
read -r copies won <<<"$(sent mixed)"
[ "$copies" -ge 5 ] && [ "$won" -ge 1 ] || fail "$copies second copies, of which $won answered first"
expect 0 "hedged: $copies second copies, $won of them answered first" apiary route explain mixed
until_true eval 'apiary status --json | grep -q "\"tasks_used\": 0"' # those that lost were cancelled, and their programs killed

# ---- who has answered

# answered: a task is delegated; an answer before the slow one could have given it is the fast one's, by its name
answered()
{
    apiary delegate mixed hello --hedge 200ms --timeout 20m --json | python3 -c 'import json, sys
o = json.load(sys.stdin)
assert o["ok"], o
assert o["served_by"]["service"] == "fast_service" or o["latency_ns"] >= 4000000000, o' || fail "an answer is said to be another agent's"
}
while [ "$(sent mixed | cut -d' ' -f1)" -le "$copies" ]; do answered; done
until_true eval 'apiary status --json | grep -q "\"tasks_used\": 0"'

# ---- refused

expect 1 'run twice' apiary delegate once x --hedge 10ms
expect 64 'hedge' apiary delegate mixed x --hedge soon
expect 64 'argument is not valid' apiary delegate mixed x --hedge 10ms --retry 3
expect 64 'does not go with --hedge' apiary delegate --all mixed x --hedge 10ms

# ---- the caller is killed between the two

# A program waits at the gate until it has been opened, from when on nobody does.
shut_gate() { rm -f "$gate" "$started" && mkfifo "$gate"; }
open_gate()
{
    mv "$gate" "$gate.open" && ln -s /dev/null "$gate"
    exec 9<>"$gate.open" && exec 9>&-
}
started_both() { [ "$(sort -u "$started" 2>/dev/null | wc -l)" -eq 2 ]; }
shut_gate
start "$folder/caller" apiary delegate held hello --hedge 50ms --timeout 20m
caller=$last
until_true started_both
apiary task ls | grep -c running | grep -qx 2 || fail "both copies are to run: $(apiary task ls)"
kill -KILL "$caller"
open_gate
until_true eval 'apiary status --json | grep -q "\"tasks_used\": 0"'
expect 0 '' shmdump --verify

# ---- a capability that declares it

sed 's/idempotent: true, hedge/hedge/' "$config" >"$folder/wrong.yaml"
expect 2 'wrong.yaml:13: hedge: .* it goes with idempotent: true only' apiary queen slow_service --config "$folder/wrong.yaml"
sed 's/hedge: 50ms/hedge: soon/' "$config" >"$folder/wrong.yaml"
expect 2 "wrong.yaml:13: hedge: 'soon' is not allowed; expected a duration of 1ms or more, such as 20ms, or p95" \
    apiary queen slow_service --config "$folder/wrong.yaml"
expect 0 '^hedge +50ms +yes' apiary capability show declared
expect 64 'one of both' apiary delegate declared x --hedge 1s --no-hedge
shut_gate
start "$folder/caller" apiary delegate declared hello --timeout 20m
caller=$last
until_true started_both
open_gate
wait "$caller" && grep -qx hello "$folder/caller" || fail "a declared hedge: $(cat "$folder/caller")"
[ "$(sent declared | cut -d' ' -f1)" = 1 ] || fail "declared: $(sent declared)"
expect 0 '^x$' apiary delegate declared x --timeout 20m --no-hedge
[ "$(sent declared | cut -d' ' -f1)" = 1 ] || fail "a second copy of a task that is to have none"
until_true eval 'apiary status --json | grep -q "\"tasks_used\": 0"'

# ---- either provider is killed while both have it

for victim in slow fast; do
    shut_gate
    start "$folder/caller" apiary delegate held "hello $victim" --hedge 50ms --timeout 20m
    caller=$last
    until_true started_both
    kill -KILL "${!victim}"
    open_gate
    wait "$caller" || fail "the caller got no answer after the death of the $victim one"
    grep -qx "hello $victim" "$folder/caller" || fail "another answer: $(cat "$folder/caller")"
    if [ "$victim" = slow ]; then # what stands in is asked once, and not refused
        expect 0 '^x$' apiary delegate lonely x
        expect 0 '^x$' apiary delegate lonely x --hedge 20ms
    fi
    start "$folder/$victim" apiary queen "${victim}_service" --config "$config"
    eval "$victim=\$last"
    until_true eval 'apiary discover held | grep -c _service | grep -qx 2'
    until_true eval 'apiary status --json | grep -q "\"tasks_used\": 0"'
done
expect 0 '' shmdump --verify

[ "$failures" -eq 0 ]
