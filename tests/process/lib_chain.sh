# Sourced by the tests of traces, after lib_cli.sh: three services of which each asks the next one. `chain NUMBERS` starts them, with
# these numbers of the segment; $inner is the last one's queen. Its task ends when a line is written to $folder/go.
# shellcheck shell=bash disable=SC2154,SC2034

chain()
{
    mkfifo "$folder/go" || exit 1
    printf '#!/bin/bash\nread -r line <"%s"\necho done\n' "$folder/go" >"$folder/waits"
    chmod +x "$folder/waits"
    cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, slow_task: 1h, $1}
swarms:
  - service: outer
    agents: [{name: gate, kind: gateway, capabilities: [api_gateway], config: {routes: [/deep=task_execution]}}]
  - service: middle
    agents: [{name: batch, kind: batch, capabilities: [task_execution]}]
  - service: inner
    agents:
      - {name: waits, kind: exec, capabilities: [wait.here], config: {command: [$folder/waits]}}
      - {name: breaks, kind: exec, capabilities: [break.it], config: {command: [/bin/false]}}
END
    start "$folder/daemon" apiaryd --config "$config"
    until_true grep -q created "$folder/daemon"
    start "$folder/outer" apiary queen outer -c "$config"
    start "$folder/middle" apiary queen middle -c "$config"
    start "$folder/inner" apiary queen inner -c "$config"
    inner=$last
    until_true apiary wait --all -c "$config" --timeout 1s
}
