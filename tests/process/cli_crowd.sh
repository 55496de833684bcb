#!/bin/bash
# Many instances of one service: whoever counts, judges or lists them leaves none out. Then they are all killed.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256, queues: 320, queue_depth: 16, queue_inlets: 2, swarms: 320, task_timeout: 1h}
swarms: []
END
start "$folder/daemon" apiaryd --config "$config"
until_true grep -q created "$folder/daemon"
crowd()
{
    start "$folder/crowd" "$APIARY_TEST_BIN/cli_crowd" 300
    crowd=$last
    until_true grep -q . "$folder/crowd"
    grep -q registered "$folder/crowd" || { fail "the crowd says: $(cat "$folder/crowd")"; ends; }
}
json()
{
    "${@:2}" --json | python3 -c "import json, sys; j = json.load(sys.stdin); print($1)"
}
crowd
expect 1 'WARNING: crowd/299 critical.*instances=300 passing=299' apiary check
expect 0 '^300$' json 'len(j["providers"])' apiary discover crowd.work
expect 0 '^300$' json 'len(j["swarms"])' apiary status
expect 0 '^300$' json 'len(j["agents"])' apiary services
[ "$(apiary discover crowd.work | wc -l)" -eq 301 ] || fail 'a row of discover is missing'
expect 0 'crowd.work .*crowd/299/idler' shmdump

# A drain is of all, each is named, and none of them would be picked.
expect 0 'crowd: 300 instances drained' apiary drain crowd --reason "$(printf '%072d' 7)"
expect 0 "crowd/299: drain: 0*7\$" apiary status
expect 1 'crowd/0 passing in drain, .*crowd/298 passing in drain, crowd/299 critical in drain' apiary check
apiary check >/dev/full 2>"$folder/check" # more than a buffer holds: it is lost before the end
[ $? -eq 3 ] && grep -q 'standard output' "$folder/check" || fail "a check that could not say it all: $(cat "$folder/check")"
expect 0 'crowd: 300 instances ready' apiary resume crowd

# What was taken back waits nowhere, although the rings still hold it; what was not does.
for _ in 1 2 3; do
    id=$(apiary delegate crowd.work x --detach) || fail delegate
    expect 0 '' apiary task cancel "$id"
done
id=$(apiary delegate crowd.work x --detach) || fail delegate
expect 0 'crowd: 1 instance drained' apiary drain crowd --instance 63
kill -KILL "$crowd"
wait "$crowd" 2>/dev/null
# The instances are counted before the tasks are, and the dead are recovered meanwhile: what is said at the end is what counts.
recovered()
{
    apiary check >"$folder/check"
    grep -q '1 task waits for an agent that is down (crowd.work)' "$folder/check" && ! grep -q 'not recovered' "$folder/check"
}
until_true recovered
expect 2 '1 task waits for an agent that is down \(crowd.work\) .*instances=300 passing=0 queued=1 ' apiary check
expect 0 '^1$' json 'sum(s["queued"] for s in j["swarms"])' apiary status
expect 0 "^$id +queued +crowd.work +crowd/idler +- " apiary task ls
expect 4 'crowd +63 +idler +- +[01] +no +drain' apiary discover crowd.work
grep -q 'nobody alive offers' <<<"$output" || fail "discover says: $output"

# The mode is the instance's, and survives it; an operator may change his mind before it is back.
expect 0 'crowd: 1 instance drained \(1 of them down: for when it comes back\)' apiary drain crowd --instance 62
expect 0 'crowd: 1 instance ready \(1 of them down' apiary resume crowd --instance 62
crowd
expect 1 'WARNING: crowd/63 passing in drain, crowd/299 critical \|' apiary check

# The configuration says what is to be there.
cat >"$folder/more.yaml" <<END
meta_registry: {members: 128, lanes: 1024, queues: 320, swarms: 320}
swarms:
  - service: crowd
    queen: {instances: 64}
    agents: [{name: idler, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [crowd.work]}]
  - service: absent
    agents: [{name: idler, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [absent.work]}]
END
expect 2 'crowd/63 passing in drain, crowd/299 critical, absent/0 is not registered in /apiary-test[^ ]+ \|' apiary check --config "$folder/more.yaml"
expect 1 'crowd/299 critical \|' apiary check --config "$folder/more.yaml" crowd
expect 2 'CRITICAL: absent/0 is not registered' apiary check --config "$folder/more.yaml" absent
expect 3 'UNKNOWN: no swarm of this service' apiary check absent
expect 0 '' apiary wait crowd
expect 7 'absent/0 is not registered' apiary wait --all --config "$folder/more.yaml" --timeout 20ms # of the crowd there are 64
expect 7 '1 task is left' apiary drain crowd --timeout 1ms
expect 7 'crowd/0 is passing in mode drain' apiary wait --all --config "$folder/more.yaml" --timeout 20ms
expect 0 '300 instances ready' apiary resume crowd

ends
