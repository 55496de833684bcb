#!/bin/bash
# Who failed, and who died holding what: told by the events, with the names of then, when all is gone.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<END_CONFIG
meta_registry: {members: 64, lanes: 128, events: 256}
swarms:
  - service: s
    workers: 2
    agents:
      - {name: failing, worker: 0, kind: exec, capabilities: [failing],
         config: {command: [sh, -c, 'cat >/dev/null; echo no such luck >&2; exit 3']}}
      - {name: slow, worker: 1, kind: exec, capabilities: [slow],
         config: {command: [bash, -c, 'read -r file; echo \$\$ >"\$file.begun"; until [ -e "\$file" ]; do read -rt 0.05 <> <(:); done; echo done']}}
  - service: asks
    agents: [{name: none, kind: exec, capabilities: [none], config: {command: [cat]}}]
END_CONFIG
queen_pid() { apiary status s --json | grep -oE '"pid": [1-9][0-9]*' | head -1 | grep -oE '[0-9]+'; }
has() { apiary events --service s ${2:+--kind "$2"} 2>/dev/null | grep -qE -- "$1"; }

start "$folder/up" apiary up -c "$config" --wait 5m
up=$last
until_true apiary wait --all -c "$config" --timeout 1s

# A failure leaves its error, caller and attempts; of many in one second only the first, and how many there were.
apiary delegate failing x --from asks --timeout 5m >/dev/null 2>"$folder/failed" && fail 'what fails has not failed'
until_true has 's/0/failing, code 3.*, failing of asks, start 1: .*no such luck' task-failed
for i in 1 2 3 4 5 6; do apiary delegate failing x --timeout 5m >/dev/null 2>&1; done
expect 0 '"said": "[^"]*no such luck' apiary events --kind task-failed --json
expect 0 '"caller": "asks"' apiary events --kind task-failed --json

# A queen is killed with a task in hand.
before=$(queen_pid)
(apiary delegate slow "$folder/go" --from asks --timeout 10m >"$folder/slow" 2>&1; echo $? >"$folder/slow.code") &
until [ -s "$folder/go.begun" ]; do turn; done
kill -KILL "$before"
until_true has 'task of a dead worker requeued: slot [0-9]+, s/0/slow, slow of asks, start [0-9]' task-requeued
until_true has "process of an instance ended: s/0, killed by SIGKILL, pid $before" instance-ended
touch "$folder/go"
until [ -s "$folder/slow.code" ]; do turn; done
grep -q done "$folder/slow" || fail "the task that was requeued: $(cat "$folder/slow")"

# All of it, when the segment is gone.
kill -TERM "$up"
wait "$up"
[ -e "/dev/shm/${APIARY_SEGMENT#/}" ] && fail "the segment is still there: $(cat "$folder/up")"
said=$(grep -E '[0-9]{2}:[0-9]{2} (task failed|process of an instance ended)' "$folder/up") &&
    fail "each failing task, and each end that is told anyway, is a line: $said"
for kind in task-failed task-requeued instance-ended swarm-died; do
    has s/0 "$kind" || fail "nothing is told of $kind: $(apiary events 2>&1 | tail -20)"
done
# The coordinator has some seconds for the last ones, and says so where its disk took longer.
grep -q 'the last events are not kept' "$folder/up" ||
    expect 0 "process of an instance ended: s/0, with code 0" apiary events --kind instance-ended
ends
