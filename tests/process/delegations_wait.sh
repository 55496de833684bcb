#!/bin/bash
# An agent that has more delegated at once than its service may have under way: what finds no ticket waits for one, in order, until its
# deadline, and never are more under way. A queen that is killed meanwhile loses nothing of it.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 2048}
swarms:
  - service: fan_service
    max_concurrent_delegations: 2
    agents:
      - {name: fan, plugin: $APIARY_PLUGINS/fan.so, capabilities: [fan]}
  - service: work_service
    agents:
      - name: worker
        kind: exec
        capabilities: [work]
        config:
          command: [sh, -c, 'until [ -e $folder/go ]; do sleep 0.05; done; cat'] # LINT: the agent's own loop
          concurrency: 1
END
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/work" apiary queen work_service --config "$config"
start "$folder/fan" apiary queen fan_service --config "$config"
fan=$last
until_true apiary discover work
until_true apiary discover fan

: >"$folder/go"
expect 0 '^done 40, late 0, failed 0, refused 0, misplaced 0$' apiary delegate --timeout 120s fan '40 0'
expect 0 '"delegations_waited": (3[0-9]|[4-9][0-9]|[1-9][0-9][0-9]+)' apiary status fan_service --json

# ---- nothing ends: two are under way, and all of them end at their deadline

rm "$folder/go"
start "$folder/caller" apiary delegate --timeout 120s fan '5 400'
until_true sh -c '[ "$(apiary task ls | grep -c " work ")" = 2 ]'
wait "$last"
expect 0 '^done 0, late 5, failed 0, refused 0, misplaced 0$' cat "$folder/caller"

# ---- killed with some under way and some that wait

start "$folder/caller" apiary delegate --timeout 120s fan '10 0'
caller=$last
until_true sh -c '[ "$(apiary task ls | grep -c " work ")" = 2 ]'
kill -KILL "$fan"
until_true gone "$fan"
start "$folder/fan" apiary queen fan_service --config "$config"
: >"$folder/go"
wait "$caller"
expect 0 '^done 10, late 0, failed 0, refused 0, misplaced 0$' cat "$folder/caller"

# ---- so many that no more may wait

expect 0 '^done 1026, late 0, failed 0, refused 4, misplaced 0$' apiary delegate --timeout 280s fan '1030 270000'
ends
