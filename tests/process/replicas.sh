#!/bin/bash
# An agent with replicas runs several times, on as many workers of one queen; and what waits behind a long task at one of them is taken
# over by another that has nothing to do.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 1024}
swarms:
  - service: crew_service
    workers: 2
    agents:
      - name: crew
        replicas: 2
        kind: exec
        capabilities: [work]
        config:
          command: [sh, -c, 'read -r n; until [ -e $folder/go.\$n ]; do sleep 0.05; done; echo done \$n'] # LINT: the agent's own loop
          concurrency: 1
END
sed 's/workers: 2/workers: 1/' "$config" >"$folder/few.yaml"
expect 2 'replicas: 2 need as many workers; crew_service has workers: 1' apiary queen crew_service --config "$folder/few.yaml"

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen crew_service --config "$config"
until_true sh -c '[ "$(apiary discover work | grep -c yes)" = 2 ]'
expect 0 'crew_service .* crew ' apiary route explain work
expect 0 'crew_service .* crew\.2 ' apiary route explain work
expect 0 '"agents": 2' apiary status --json crew_service

runs() # runs N: so many tasks are in the hands of agents
{
    apiary status --json crew_service | grep -q "\"running\": $1,"
}
queued()
{
    apiary status --json crew_service | grep -q "\"queued\": $1,"
}
ask() # ask N
{
    echo "$1" >"$folder/body.$1"
    start "$folder/caller.$1" apiary delegate --timeout 120s work "$1"
}

# One long task at each replica, and two tasks behind each of them; then one of the long ones ends, and the other does not.
ask 1
until_true runs 1
ask 2
until_true runs 2
for i in 3 4 5 6; do
    ask $i
    until_true queued $((i - 2))
done
for i in 1 3 4 5 6; do : >"$folder/go.$i"; done
for i in 1 3 4 5 6; do until_true grep -qx "done $i" "$folder/caller.$i"; done
runs 1 || fail 'the other long task has ended, too'
[ -s "$folder/caller.2" ] && fail "the other long task: $(cat "$folder/caller.2")"
shmdump "$APIARY_SEGMENT" --json | python3 -c '
import json, sys
taken = [q.get("taken", 0) for q in json.load(sys.stdin)["queues"]]
assert sum(taken) == 2, taken' || fail 'the counts of what was taken over'
: >"$folder/go.2"
until_true grep -qx 'done 2' "$folder/caller.2"
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
