#!/bin/bash
# Health endpoints: one that fails, one that hangs and one where nobody listens, beside one that is well throughout; the coordinator is
# killed in between.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
start "$folder/server" python3 "$APIARY_SOURCE/tests/process/lib_health.py" "$folder"
server=$last
until_true test -s "$folder/port"
base=http://127.0.0.1:$(cat "$folder/port")

# The time of those that are to be well is long: a machine that is slow is no reason.
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 2048, health_check_interval: 200ms}
swarms:
  - service: well
    health_endpoint: $base/well
    health_check_timeout: 10m
    agents: [{name: say, kind: exec, capabilities: [say], config: {command: [echo, well]}}]
  - service: sick
    health_endpoint: $base/sick
    health_check_timeout: 10m
    unhealthy_after: 2
    agents: [{name: say, kind: exec, capabilities: [say], config: {command: [echo, sick]}}]
  - service: slow
    health_endpoint: $base/slow
    health_check_timeout: 100ms
    agents: [{name: more, kind: exec, capabilities: [more], config: {command: [echo, slow]}}]
  - service: stays
    health_endpoint: $base/stays
    health_check_timeout: 1h
    agents: [{name: rest, kind: exec, capabilities: [rest], config: {command: [echo, stays]}}]
  - service: gone
    health_endpoint: $base/gone
    health_check_timeout: 2s
    unhealthy_after: 100
    agents: [{name: last, kind: exec, capabilities: [last], config: {command: [echo, gone]}}]
  - service: absent
    health_endpoint: http://127.0.0.1:$(cat "$folder/closed")/health
    agents: [{name: alone, kind: exec, capabilities: [alone], config: {command: [echo, absent]}}]
END

answers() # answers PATH WHAT
{
    echo "$2" >"$folder/answer.new"
    mv "$folder/answer.new" "$folder/answer.$1"
}

finds() # finds SERVICE: what the coordinator has found out about its endpoint
{
    apiary status "$1" --json | python3 -c 'import json, sys; h = json.load(sys.stdin)["swarms"][0]["health"]; print(h["answers"] if h["holds"] else "nothing")'
}

found() # found SERVICE WHAT
{
    [ "$(finds "$1")" = "$2" ]
}

state() # state SERVICE STATE
{
    [ "$(apiary status "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["swarms"][0]["state"])')" = "$2" ]
}

asked() # asked PATH TIMES
{
    [ "$(grep -c "^/$1\$" "$folder/asked")" -ge "$2" ]
}

answers stays hang
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true apiary status
for s in well sick slow stays gone absent; do
    start "$folder/$s" apiary queen "$s" --config "$config"
    [ "$s" = slow ] && slow=$last
done
expect 0 '' apiary wait --all --config "$config" --timeout 10m

# ---- all is well, and where nobody listens nothing is held against it

for s in well sick slow; do until_true found "$s" passing; done
until_true found absent absent
state absent passing || fail "nobody listens for absent, which is no reason: $(apiary status)"
until_true apiary check

# ---- one that never answers holds up none of the others

n=$(grep -c '^/well$' "$folder/asked")
until_true asked stays 1
until_true asked well $((n + 5))
found stays unknown || fail "an answer that may take an hour: $(finds stays)"

# ---- one fails

answers sick 503
until_true state sick critical
expect 2 "CRITICAL: .*sick/0 critical \(its health check fails: $base/sick: status 503\)" apiary check
expect 0 "^sick/0: its health check fails: $base/sick: status 503" apiary status
expect 0 'health endpoint fails: sick/0, status 503' apiary events --service sick --kind endpoint-failed
expect 0 '^ +sick +0 .* unhealthy$' apiary route explain say
for i in 1 2 3 4 5 6 7 8; do
    [ "$(apiary delegate say --timeout 10m)" = well ] || fail 'a task went to the one that is not well'
done
grep -q 'sick/0: its health endpoint fails, .*status 503' "$folder/daemon" || fail "the coordinator does not say so: $(cat "$folder/daemon")"
shmdump --json | python3 -c 'import json, sys; assert any(s["found_why"] == "status 503" for s in json.load(sys.stdin)["swarms"])' ||
    fail 'shmdump shows nothing of it'

# ---- and is picked when nobody else is there

expect 0 . apiary drain well --timeout 10m
[ "$(apiary delegate say --timeout 10m)" = sick ] || fail 'nobody else is there'
expect 0 '' apiary resume well

# ---- the coordinator is killed: what it had found out ends by itself; the next one finds it again, and the rest goes on

kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
: >"$folder/asked"
start "$folder/daemon2" apiaryd --config "$config"
until_true asked sick 3
until_true state sick critical
kill -KILL "$last"
wait "$last" 2>/dev/null
answers sick 200
answers slow hang
start "$folder/daemon3" apiaryd --config "$config"
until_true state sick passing
expect 0 'health endpoint passes again: sick/0' apiary events --service sick --kind endpoint-passed

# ---- one hangs

until_true state slow critical
expect 0 "^slow/0: its health check fails: $base/slow: no answer in 100.00 ms" apiary status slow
expect 0 'health endpoint fails: slow/0, no answer in time' apiary events --service slow --kind endpoint-failed

# ---- a verdict that has ended by itself is not what the next coordinator begins with

kill -KILL "$last"
wait "$last" 2>/dev/null
until_true state slow passing
answers slow 200
start "$folder/daemon4" apiaryd --config "$config" --log-level info
daemon=$last
until_true found slow passing
grep -q 'slow/0: its health endpoint passes again' "$folder/daemon4" && fail "a verdict that had ended came back: $(cat "$folder/daemon4")"
answers sick 503
until_true state sick critical
answers sick 200
until_true state sick passing
grep -q 'sick/0: its health endpoint passes again' "$folder/daemon4" || fail "one that holds was not gone on from: $(cat "$folder/daemon4")"

# ---- what the coordinator lacks itself is held against nobody

failed() { apiary events --kind endpoint-failed | grep -c 'well\|sick'; }
before=$(failed)
prlimit --pid "$last" --nofile=3:
until_true grep -q 'sick/0: its health endpoint could not be asked, which is not held against it: .*open files' "$folder/daemon4"
until_true grep -q 'well/0: its health endpoint could not be asked' "$folder/daemon4"
prlimit --pid "$last" --nofile=256:
: >"$folder/asked"
until_true asked sick 2
until_true asked well 2
[ "$(failed)" = "$before" ] || fail "they were found to fail: $(apiary events --kind endpoint-failed)"
state sick passing || fail "it does not pass: $(apiary status sick)"

answers slow hang
until_true state slow critical

# ---- its queen goes: a new registration begins anew

kill "$slow"
wait "$slow"
answers slow 200
start "$folder/slow" apiary queen slow --config "$config"
until_true state slow passing
until_true found slow passing

# ---- one that had answered, and where nobody listens any more, fails

[ -z "$(apiary events --service stays --kind endpoint-failed)" ] || fail "stays was marked: $(apiary events --service stays)"
[ -z "$(apiary events --service well --kind endpoint-failed)" ] || fail "well was marked: $(apiary events --service well)"
until_true found gone passing
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
until_true found gone nothing
answers gone hang
start "$folder/daemon5" apiaryd --config "$config"
until_true found gone unknown # by a coordinator that has not heard of it itself
kill -KILL "$last"
wait "$last" 2>/dev/null
kill -KILL "$server"
wait "$server" 2>/dev/null
start "$folder/daemon6" apiaryd --config "$config"
verdict() { found gone failing || found gone absent; }
until_true verdict
found gone failing || fail "two coordinators later nobody has ever listened for gone: $(apiary status gone)"
until_true state well critical
expect 0 "^well/0: its health check fails: $base/well: nobody listens there" apiary status well

[ -z "$(apiary events --service absent --kind endpoint-failed)" ] || fail "absent was marked: $(apiary events --service absent)"
expect 0 . shmdump --verify "$APIARY_SEGMENT"
ends
