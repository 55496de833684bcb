#!/bin/bash
# Another terminal asks why a service is down: one that crashes in a loop, one whose program has gone, one that is not started again,
# beside a healthy one; then the supervisor is stopped, and another one is killed.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

cp /bin/cat "$folder/program"
good_and "{service: broken, agents: [{name: a, plugin: $plugins/abort_create.so, capabilities: [broken.create]}]}" \
    "{service: missing, agents: [{name: m, kind: exec, capabilities: [missing], config: {command: [$folder/program]}}]}" \
    "{service: late, agents: [{name: l, plugin: $plugins/late_create.so, capabilities: [late], config: {file: $folder/made}}]}" \
    "{service: once, queen: {restart: never}, agents: [{name: o, kind: exec, capabilities: [once], config: {command: [cat]}}]}" >"$config"

# of SERVICE EXPRESSION: of its row in the status, which is s, with v for what its supervisor says; false when it is false.
of()
{
    apiary status --json 2>/dev/null | python3 -c '
import json, sys
s = next(s for s in json.load(sys.stdin)["swarms"] if s["service"] == sys.argv[1])
v = s["supervision"]
r = eval(sys.argv[2])
print(r)
sys.exit(not r)' "$1" "$2" 2>/dev/null
}
is() { of "$@" >/dev/null || fail "$1: not $2: $(apiary status)"; }
sound() { shmdump --verify >"$folder/verified" || fail "$1: $(cat "$folder/verified")"; }

apiary up --wait 5s --config "$config" >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
for service in good harmed missing once; do until_true of "$service" 's["state"] == "passing" and v["state"] == "passing"'; done

# ---- a healthy one has nothing to explain

is good 'v["restarts"] == 0 and v["last_end"] is None and v["why"] is None and v["supervised"] and v["pid"] == s["pid"]'
is good "v['supervisor'] == $up"
apiary status | grep -q '^good/0:' && fail "the healthy one is explained: $(apiary status)"

# ---- one that was never registered

until_true of broken 'v["state"] == "backing off" and v["last_end"]["times_in_a_row"] > 5'
is broken 's["state"] == "down" and v["last_end"]["signal"] == 6 and v["last_end"]["code"] is None'
restarts=$(of broken 'v["restarts"]')
until_true of broken "v['restarts'] > $restarts"
expect 0 '^broken/0: killed by signal 6 [0-9.]+ [a-z]+ ago, [0-9]+ times in a row; (backing off, it is started again in|it is being started again|started again)' \
    apiary status broken
expect 0 'broken +0 +down .* [0-9]+$' apiary status
expect 2 'CRITICAL: .*broken/0 down \(killed by signal 6 [0-9.]+ [a-z]+ ago, [0-9]+ times' apiary check
expect 2 'CRITICAL: .*broken/0 down \(killed by signal 6' apiary check --config "$config" broken
expect 7 'broken/0 is down in mode ready \(killed by signal 6' apiary wait --all --config "$config" --timeout 50ms
expect 0 'broken +0 +alive .* signal +6' shmdump
until_true of broken '0 < v["again_in_ns"] <= 10**10'

# ---- one whose program has gone: its last words tell

rm "$folder/program"
kill -KILL "$(pid_of missing)"
until_true of missing 'v["state"] == "backing off" and v["last_end"]["code"] == 2'
is missing "s['state'] == 'down' and '$folder/program is not an executable' in v['last_end']['said'] and not v['last_end']['said_cut']"
expect 0 "^missing/0: ended with code 2 .*; it said: .*$folder/program is not an executable file: No such file" apiary status
expect 2 "missing/0 down \(ended with code 2 .*$folder/program is not" apiary check
cp /bin/cat "$folder/program"
until_true of missing 's["state"] == "passing" and v["state"] == "passing" and v["restarts"] > 0'
is missing 'v["why"] is None and v["last_end"]["code"] == 2'

# ---- one that was killed and is back, and one that is not started again

harm
comes_back
until_true of harmed 'v["state"] == "passing"'
is harmed 'v["restarts"] == 1 and v["last_end"]["signal"] == 9'
kill -KILL "$(pid_of once)"
until_true of once 'v["state"] == "given up" and s["state"] == "down"'
is once 'v["again_in_ns"] is None and v["last_end"]["signal"] == 9'
expect 0 '^once/0: killed by signal 9 [0-9.]+ [a-z]+ ago; given up' apiary status

# ---- one that has registered and stands still, before its supervisor has looked

until_true of late 'v["state"] == "starting" and v["pid"] != 0'
expect 1 'late/0 starting \(starting, not registered yet\)' apiary check late
stop "$up"
touch "$folder/made"
until_true of late 's["state"] == "passing"'
late=$(of late 's["pid"]')
stop "$late"
until_true of late 's["state"] != "passing"'
said=$(apiary check late)
grep -q 'late/0 .*no beat for' <<<"$said" || fail "of one that stands still is said: $said"
grep -q 'registered' <<<"$said" && fail "of one that is registered is said: $said"
kill -CONT "$late" "$up"
until_true of late 's["state"] == "passing" and v["state"] == "passing"'
sound 'while it works'

# ---- it is told to stop, with a member that keeps the segment

start "$folder/queen" apiary queen good --instance 7 --config "$config"
queen=$last
until_true grep -q 'is registered' "$folder/queen"
kill -TERM "$up"
until_true gone "$up"
wait "$up"
is good 'v["state"] == "stopped" and not v["supervised"] and v["left"] is not None'
expect 0 "^harmed/0: stopped by 'apiary up' \(pid $up\), which left [0-9.]+ [a-z]+ ago" apiary status
apiary check | grep -q 'has died' && fail "one that left is taken for dead: $(apiary check)"
sound 'when it has left'

# ---- the next one begins anew, and is killed

apiary up --wait 5s --config "$config" >"$folder/out" 2>"$folder/err" </dev/null &
next=$!
until_true of harmed "v['supervisor'] == $next and v['state'] == 'passing' and v['restarts'] == 0"
is once 'v["last_end"] is None'
until_true of broken 'v["restarts"] > 1'
kill -KILL "$next"
wait "$next" 2>/dev/null
is broken 'not v["supervised"] and v["restarts"] > 0'
expect 0 "^broken/0: without a supervisor.*: 'apiary up' \(pid $next\) has died; before that: killed by signal 6" apiary status
expect 2 "'apiary up' \(pid $next\) has died: services that end are not restarted" apiary check
until_true of harmed 's["state"] == "down" and v["left"] is not None'
expect 0 "^harmed/0: without a supervisor for [0-9.]+ [a-z]+: 'apiary up' \(pid $next\) has died" apiary status
kill -TERM "$queen"
until_true gone "$queen"
shmdump --verify >"$folder/verified"
[ $? -le 1 ] || fail "when it was killed: $(cat "$folder/verified")"
ends
