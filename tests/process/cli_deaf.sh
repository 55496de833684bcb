#!/bin/bash
# Alive and not consuming: the thread of a worker that has nothing to do is stopped, and no other of its process. Its queen sees nothing
# of that; the coordinator's probes do. One that is busy, beside it, is not marked. The coordinator is killed in between.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 2048, health_check_interval: 100ms}
swarms:
  - service: deaf
    unhealthy_after: 2
    agents:
      - {name: say, kind: exec, capabilities: [say], config: {command: [echo, deaf]}}
      - {name: more, kind: exec, capabilities: [more], config: {command: [echo, deaf]}}
  - service: well
    unhealthy_after: 3
    agents: [{name: say, kind: exec, capabilities: [say], config: {command: [echo, well]}}]
  - service: busy
    unhealthy_after: 1
    agents: [{name: long, kind: exec, capabilities: [long], config: {command: [sh, -c, 'cat $folder/gate'], concurrency: 1}}]
END
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true apiary status
for s in deaf well busy; do
    start "$folder/$s" apiary queen "$s" --config "$config"
    [ "$s" = deaf ] && deaf=$last
done
expect 0 '' apiary wait --all --config "$config" --timeout 10m
start "$folder/held" apiary delegate long --timeout 10m
until_true sh -c '[ "$(apiary task ls --state running | grep -c long)" = 1 ]'

worker=
for t in /proc/"$deaf"/task/*; do
    [[ "$(cat "$t/comm")" != apiary-work-* ]] || worker=${t##*/}
done
[ -n "$worker" ] || fail "no thread of $deaf is a worker: $(cat /proc/"$deaf"/task/*/comm)"
state() # state SERVICE STATE
{
    [ "$(apiary status "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["swarms"][0]["state"])')" = "$2" ]
}

mkfifo "$folder/tracing"
python3 "$APIARY_SOURCE/tests/process/lib_tracer.py" "$worker" <"$folder/tracing" >"$folder/tracer" 2>&1 &
exec 9>"$folder/tracing"
until_true test -s "$folder/tracer"
if ! grep -q stopped "$folder/tracer"; then
    echo "skipped: threads cannot be traced here: $(cat "$folder/tracer")"
    exit 77
fi
until_true state deaf critical
expect 0 '^deaf/0: its health check fails: agents? (say|more) (answers|and 1 more answer) no probe$' apiary status deaf
expect 2 'deaf/0 critical \(its health check fails: agent ' apiary check
expect 0 'agent answers no probe, and has nothing in hand: deaf/0/(say|more), times in a row 2' apiary events --service deaf --kind agent-deaf
for i in 1 2 3 4; do
    [ "$(apiary delegate say --timeout 10m)" = well ] || fail 'a task went to the one that takes none'
done

# ---- the next coordinator goes on from it

kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
start "$folder/daemon2" apiaryd --config "$config"
until_true grep -q 'answers no probe, 2 times in a row' "$folder/daemon2"
state deaf critical || fail "it does not answer, as before: $(apiary status)"

# ---- it goes on

exec 9>&-
until_true state deaf passing
expect 0 'agent answers probes again: deaf/0/' apiary events --service deaf --kind agent-heard
[ "$(apiary delegate more --timeout 10m)" = deaf ] || fail 'it is as before'

# ---- nobody else was marked, busy or not

for s in well busy; do
    [ -z "$(apiary events --service "$s" --kind agent-deaf)" ] || fail "$s was marked: $(apiary events --service "$s")"
done
echo go >"$folder/gate"
expect 0 . shmdump --verify "$APIARY_SEGMENT"
ends
