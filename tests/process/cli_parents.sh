#!/bin/bash
# A deadline, a cancellation and a death reach what agents delegate, over two agents to a program that would never end, with real
# processes and no daemon: three services, each with its own queen. Waits for conditions, never for a time.
# ctest: not thread
# ctest: not address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

# Its own process, one that it starts, and the time that it has are in a file; then it never ends.
cat >"$dir/endless" <<END
#!/bin/bash
cat >/dev/null
tail -f /dev/null &
echo \$\$ \$! >>"$dir/pids"
echo \$APIARY_TIMEOUT_MS >>"$dir/left"
wait
END
chmod +x "$dir/endless"
cat >"$dir/c.yaml" <<END
meta_registry: {segment: $segment, task_timeout: 1200000}
swarms:
  - service: outer
    agents: [{name: gate, kind: gateway, capabilities: [api_gateway], config: {routes: [/deep=task_execution]}}]
  - service: middle
    agents: [{name: batch, kind: batch, capabilities: [task_execution]}]
  - service: inner
    agents: [{name: endless, kind: exec, capabilities: [endless], config: {command: [$dir/endless], timeout: 20m}}]
END
"$APIARY_BIN/apiaryd" -c "$dir/c.yaml" 2>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done
declare -A queen
passing() { apiary status "$1" --json | tr -d ' \n' | grep -q '"state":"passing"'; }
begin() # SERVICE
{
    "$APIARY_BIN/apiary" queen "$1" -c "$dir/c.yaml" 2>>"$dir/log" &
    queen[$1]=$!
    until_true passing "$1"
}
end() # SERVICE: killed
{
    kill -KILL "${queen[$1]}"
    wait "${queen[$1]}" 2>/dev/null
}
for s in outer middle inner; do begin $s; done
kill -KILL $daemon
wait $daemon 2>/dev/null

all_gone() # every process that was written down
{
    local pid
    for pid in $(cat "$dir/pids"); do kill -0 "$pid" 2>/dev/null && return 1; done
    return 0
}
ended() { until_true all_gone; : >"$dir/pids"; : >"$dir/left"; }
begun() { [ "$(wc -l <"$dir/left")" -ge "$1" ]; }
no_tasks() { [ "$(apiary task ls --json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["tasks"]))')" = 0 ]; }
body='{"path":"/deep","body":{"capability":"endless","inputs":["x"]}}'
: >"$dir/pids"; : >"$dir/left"

# It is cancelled.
id=$(apiary delegate api_gateway "$body" --detach --timeout 20m)
until_true begun 1
expect 0 '' apiary task cancel "$id"
ended
until_true no_tasks

# Its time is over, and what it has left is all that the others have.
told() # PATTERN COMMAND...: the gateway answers that it had none, or its caller was the first to notice
{
    output=$("${@:2}" 2>&1)
    grep -qE "$1" <<<"$output" || fail "'${*:2}' printed: $output"
}
told '"failed":1|"status":504|the deadline passed' apiary delegate api_gateway "$body" --timeout 700ms
[ -s "$dir/left" ] && [ "$(sort -n "$dir/left" | tail -1)" -gt 700 ] && fail "the program had $(cat "$dir/left") ms"
ended
until_true no_tasks

# An attempt at it takes too long.
told '"failed":1|"status":50[24]|took too long' apiary delegate api_gateway "$body" --start-to-close 500ms --timeout 20m
ended
until_true no_tasks

# Its caller goes without waiting for it.
start "$dir/out" apiary delegate api_gateway "$body" --timeout 20m
until_true begun 1
kill -INT "$last"
wait "$last"
ended
until_true no_tasks

# A worker in the middle is killed: what it had delegated ends, and its own task waits for its queen, which delegates anew.
id=$(apiary delegate api_gateway "$body" --detach --timeout 20m)
until_true begun 1
end middle
ended
begin middle
until_true begun 1
expect 0 '' apiary task cancel "$id"
ended
until_true no_tasks

# The first is killed: nothing that was for it goes on, over any depth.
apiary delegate api_gateway "$body" --detach --timeout 20m >/dev/null
until_true begun 1
end outer
ended
[ "$(apiary task ls --json | grep -c '"capability": "api_gateway"')" -eq 1 ] || fail "left: $(apiary task ls)"
begin outer
until_true begun 1
apiary task ls --json | python3 -c 'import json,sys
for t in json.load(sys.stdin)["tasks"]:
    if t["capability"] == "api_gateway": print(t["task"])' >"$dir/id"
expect 0 '' apiary task cancel "$(cat "$dir/id")"
ended
until_true no_tasks
expect 0 '' "$APIARY_BIN/shmdump" "$segment" --verify
grep -q 'refused' "$dir/log" && fail "misuse: $(grep refused "$dir/log")"
ends
