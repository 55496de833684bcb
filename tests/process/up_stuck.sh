#!/bin/bash
# A worker that does not return from its agent's code: its queen is told, drained, killed if need be, and started again under the same
# name, with the reason in the log. A service whose tasks take long without that, and one that has no such key, are left alone.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
plugins=$APIARY_BUILD/plugins
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 64, lanes: 256, tasks: 2048}
swarms:
  - service: good
    queen: {restart_stuck: 10s}
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
  - service: bad
    queen: {restart_stuck: 4s}
    agents: [{name: careless, plugin: $plugins/misbehave.so, capabilities: [bad]}]
  - service: busy
    queen: {restart_stuck: 10s}
    agents: [{name: long, kind: exec, capabilities: [long], config: {command: [sh, -c, 'cat $folder/gate']}}]
  - service: patient
    agents: [{name: careless, plugin: $plugins/misbehave.so, capabilities: [patient]}]
END
apiary up --config "$config" --drain 500ms >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m

of() # of SERVICE KEY: of its instance in the status
{
    apiary status "$1" --json | python3 -c "import json, sys; s = json.load(sys.stdin)['swarms']; print(s[0]['$2'] if len(s) == 1 else 'rows: %d' % len(s))"
}

is()
{
    [ "$(of "$1" "$2")" = "$3" ]
}

is_another() # is_another PID: another process is bad, and passes
{
    is bad state passing && ! is bad pid "$1"
}

good=$(of good pid) busy=$(of busy pid) bad=$(of bad pid)
start "$folder/held" apiary delegate long --timeout 10m
start "$folder/patience" apiary delegate patient stuck --timeout 10m
patient=$(of patient pid)

# ---- it ends when it is told

expect 7 . apiary delegate bad stuck --timeout 200ms
until_true grep -q "^apiary: bad/0: pid $bad is stuck, a worker has not gone on for .*; it is restarted\$" "$folder/err"
expect 0 "stuck instance ended by its supervisor, which starts it again: bad/0, for [0-9.]+ s" apiary events --service bad --kind swarm-stuck
until_true is_another "$bad"
is bad instance 0 || fail "it has not its own name: $(apiary status bad)"
[ "$(apiary events --service bad --kind swarm-stuck | wc -l)" = 1 ] || fail "it was ended more than once: $(apiary events --service bad)"

# ---- it does not: the thread that would hear it is stopped

bad=$(of bad pid)
mkfifo "$folder/tracing"
python3 "$APIARY_SOURCE/tests/process/lib_tracer.py" "$bad" <"$folder/tracing" >"$folder/tracer" 2>&1 &
exec 9>"$folder/tracing"
until_true test -s "$folder/tracer"
expect 7 . apiary delegate bad stuck --timeout 200ms
until_true is_another "$bad"
! grep -q stopped "$folder/tracer" || grep -q "^apiary: bad/0: pid $bad does not end; it is killed\$" "$folder/err" ||
    fail "it was not killed: $(cat "$folder/err")"
exec 9>&-
is bad instance 0 || fail "it has not its own name: $(apiary status bad)"

# ---- the others were left alone, whatever they were doing; one is stuck, and the check says so

is good pid "$good" && is busy pid "$busy" && is patient pid "$patient" || fail "another one was ended: $(apiary events)"
for s in good busy patient; do
    [ -z "$(apiary events --service "$s" --kind swarm-stuck)" ] || fail "$s was ended: $(apiary events --service "$s")"
done
until_true is patient state critical
expect 0 '^patient/0: a worker has not gone on for .*: it is within a long task, or stuck$' apiary status patient
expect 2 'patient/0 critical \(a worker has not gone on for ' apiary check
[ "$(apiary delegate echo x --timeout 10m)" != '' ] || fail 'good does not answer'
echo go >"$folder/gate"

# ---- the supervisor and a queen are stopped together, as by a pause of the machine, and it goes on first: nobody is stuck for that

good=$(of good pid)
is_old() { [ "$(of good beat_age_ns)" -gt 12000000000 ]; } # more than its time
is_fresh() { ! is_old && is good state passing; }
turns() { [ "$(grep -c 'SIGUSR1 changes nothing' "$folder/err")" = "$1" ]; }
stop "$up" "$good"
until_true is_old
kill -CONT "$up"
for turn in 1 2; do # after the first it looks
    kill -USR1 "$up"
    until_true turns "$turn"
done
kill -CONT "$good"
until_true is_fresh
is good pid "$good" && [ -z "$(apiary events --service good --kind swarm-stuck)" ] || fail "a pause was taken for a fault: $(apiary events --kind swarm-stuck)"

kill "$up"
wait "$up"
ends
