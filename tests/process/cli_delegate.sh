#!/bin/bash
# Tasks from the command line: results and every way to fail, each with its own message and exit code; task ls, show and
# cancel; drain and resume; the checks of a monitoring system.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry:
  members: 32
  lanes: 64
  tasks: 512
  queue_depth: 4
  queue_inlets: 2
  task_timeout: 1h
  payload: {blocks_256B: 64, blocks_1KiB: 16, blocks_4KiB: 16, blocks_16KiB: 0, blocks_64KiB: 0, blocks_256KiB: 0, blocks_1MiB: 0}
swarms:
  - service: text_service
    agents:
      - {name: cat, kind: exec, capabilities: [text.copy, text.copy2@2], config: {command: [cat]}}
      - {name: trace, kind: exec, capabilities: [text.trace], config: {command: [sh, -c, "echo \${APIARY_TRACEPARENT:-none}"]}}
      - {name: wrong, kind: exec, capabilities: [text.wrong], config: {command: [sh, -c, "echo it is broken >&2; exit 3"]}}
  - service: gate_service
    agents:
      - {name: gate, plugin: $APIARY_PLUGINS/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}
  - service: echo_service
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo], config: {greeting: "you said: "}}
END
declare -A queens
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
for service in text_service gate_service echo_service; do
    start "$folder/$service" apiary queen "$service" --config "$config"
    queens[$service]=$last
done
for service in text_service gate_service echo_service; do until_true apiary check "$service"; done
expect 0 'OK: 3 instances passing \| instances=3 passing=3 .* tasks=[0-9]+;;;0;512' apiary check

# ---- results

expect 0 '^hello$' apiary delegate text.copy hello
expect 0 '^you said: hello$' apiary delegate echo hello
expect 0 '^versioned$' apiary delegate text.copy2 versioned
expect 0 '^versioned$' apiary delegate text.copy2@2 versioned
expect 0 '^from a file$' apiary delegate text.copy @<(echo 'from a file')
expect 0 '^from standard input$' apiary delegate text.copy - <<<'from standard input'
head -c 4000 /dev/urandom >"$folder/bytes"
apiary delegate text.copy "@$folder/bytes" | cmp - "$folder/bytes" || fail 'bytes came back changed'
expect 0 '"data": "hello"' apiary delegate text.copy hello --json
trace=0af7651916cd43dd8448eb211c80319c
expect 0 "^00-$trace-[0-9a-f]{16}-01$" apiary delegate text.trace --traceparent "00-$trace-b7ad6b7169203331-01"
expect 0 '^none$' apiary delegate text.trace --hops 1
expect 64 "traceparent: '00-0-0-00' cannot be that; it is the trace" apiary delegate text.trace --traceparent 00-0-0-00
for hops in 0 -1 4294967295 1x ''; do expect 64 "hops: '$hops' cannot be that" apiary delegate text.trace --hops "$hops"; done
expect 0 '"data_base64"' apiary delegate text.copy "@$folder/bytes" --json
expect 0 '"service": "text_service"' apiary delegate text.copy hello --json
expect 0 '' apiary delegate text.copy ''
expect 0 'text_service +0 +cat +[0-9]+ +0 +yes' apiary discover text.copy
expect 0 'text.copy text.copy2@2' apiary services
expect 0 '"schema": 1' apiary services --json
expect 0 '"state": "passing"' apiary status --json
expect 0 "text_service +0 +passing +ready +${queens[text_service]} " apiary status text_service
for json in 'status' 'services' 'discover text.copy' 'task ls' 'kinds' 'segment ls' 'delegate text.copy x'; do
    # shellcheck disable=SC2086 # words
    apiary $json --json | python3 -c 'import json, sys; assert json.load(sys.stdin)["schema"] == 1' || fail "$json --json"
done

# ---- the ways to fail

expect 4 "text.copi in $APIARY_SEGMENT: nobody has ever offered this capability.*apiary services" apiary delegate text.copi hello
expect 64 'is not a capability name' apiary delegate 'no such name!' hello
expect 64 'is not a capability name' apiary discover Text
expect 6 'larger than.*payload' apiary delegate text.copy - < <(head -c 5000 /dev/zero)
expect 1 "text.wrong: the agent failed the task .*it is broken" apiary delegate text.wrong
expect 1 '"error": "APIARY_EAGENT"' apiary delegate text.wrong --json
expect 64 'No such file' apiary delegate text.copy @/nowhere/at/all
expect 64 'it is a folder' apiary delegate text.copy @/tmp
expect 64 "'0' is not a duration above 0" apiary delegate text.copy x --timeout 0
expect 4 '"error": "APIARY_ENOCAP"' apiary delegate text.copi x --json
expect 4 '"error": "APIARY_ENOCAP"' apiary --json delegate text.copi x
expect 0 '"state": "passing"' apiary --json status
expect 64 "no option '--json'" apiary --json drain text_service
# One stands at the gate, and the next one's deadline passes behind it.
apiary delegate gate.pass --detach >/dev/null || fail 'detach'
at_the_gate()
{
    apiary task ls --state running | grep -q gate.pass
}
until_true at_the_gate
expect 7 'deadline' apiary delegate gate.pass --timeout 50ms
# What has a time of its own waits for that, and for nobody.
id=$(apiary delegate text.trace --detach --delay 1000h) || fail 'delay'
expect 0 "^$id +scheduled +text.trace +- " apiary task ls --state scheduled
expect 0 'due +in [0-9]+' apiary task show "$id"
apiary task ls --json | python3 -c 'import json, sys; o = json.load(sys.stdin); assert 0 < o["now_ns"] - o["tasks"][0]["queued_ns"] < 600e9' ||
    fail "task ls --json does not say what time it is"
apiary task show "$id" --json | python3 -c 'import json, sys; t = json.load(sys.stdin); assert t["due_ns"] > t["queued_ns"] and t["carried"]["delay"] == 3600000000000000' ||
    fail "task show --json does not say when it is due"
shmdump "$APIARY_SEGMENT" --tasks --json | python3 -c 'import json, sys; assert [s for s in json.load(sys.stdin)["tasks"]["slots"] if s["state"] == "scheduled" and s["due"]]' ||
    fail 'shmdump does not say when it is due'
expect 0 '' apiary task cancel "$id"
expect 0 '^none$' apiary delegate text.trace --delay 20ms
expect 0 '^none$' apiary delegate text.trace --due-at 2020-01-01T00:00:00Z
for due in now 2020-01-01 2020-01-01T00:00:00X ''; do expect 64 "due-at: '$due' cannot be that" apiary delegate text.trace --due-at "$due"; done
expect 64 "delay: '-1s' cannot be that" apiary delegate text.trace --delay=-1s
expect 0 '^none$' apiary delegate text.trace --wait-for-provider --retry 3,backoff=10ms,multiplier=1.5,cap=1s,never=7
for policy in x 33 1,backoff=1s 3,cap=0 3,multiplier=0.5 3,never=1,never=2,never=3,never=4,never=5 ''; do
    expect 64 "retry: '$policy' cannot be that" apiary delegate text.trace --retry "$policy"
done
# That worker still stands at the gate: the next tasks wait behind it until the queue is full.
id=$(apiary delegate gate.pass waiting --detach --hops 3 --traceparent "00-$trace-b7ad6b7169203331-01") || fail 'detach'
expect 0 "^$id +queued +gate.pass +gate_service/gate " apiary task ls
expect 0 'state +queued' apiary task show "$id"
grep -qE '^worker pid +-$' <<<"$output" && grep -qE '^requested +detach$' <<<"$output" || fail "task show: $output"
grep -qE '^hops +3$' <<<"$output" && grep -qE "^trace +00-$trace-b7ad6b7169203331-01$" <<<"$output" || fail "task show: $output"
shmdump "$APIARY_SEGMENT" --tasks --json | python3 -c 'import json, sys; assert json.load(sys.stdin)["carried"][0]["hops"] == 3' ||
    fail 'shmdump does not say what it carries'
expect 0 "\"task\": \"$id\"" apiary task show "$id" --json
expect 0 'running +gate.pass' apiary task ls --state running
code=0
for _ in $(seq 100); do
    output=$(apiary delegate gate.pass more --detach 2>&1)
    code=$?
    [ "$code" -eq 0 ] || break
done
[ "$code" -eq 5 ] || fail "a full queue exits $code: $output"
grep -qE '(the queue is full|tasks waiting).*retry' <<<"$output" || fail "a full queue says: $output"
expect 0 '' apiary task cancel "$id"
apiary task show "$id" 2>&1 | grep -qE 'state +cancelled|no such task' || fail 'the cancelled task is something else'
apiary task ls | grep -q "^$id " && fail 'a cancelled task that nobody waits for is listed'
expect 1 'no such task' apiary task cancel "$id"
taken=$(apiary delegate text.copy hello --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["task"])')
expect 1 'no such task any more: its result was taken or it was given up' apiary task show "$taken"
expect 1 'no such task: none with this id was ever' apiary task show ffffffff-0-1
expect 1 'no such task: none with this id was ever' apiary task show "${id%-*}-ffffff"
expect 1 'no such task: none with this id was ever' apiary task cancel "${id%-*}-ffffff"

open_gate() # for whoever comes, until it is closed
{
    (trap '' PIPE; while [ -p "$folder/gate" ]; do printf open >"$folder/gate"; done) 2>/dev/null &
    opener=$!
}
close_gate()
{
    kill -KILL "$opener"
    wait "$opener" 2>/dev/null
}

# ---- drain: nothing new, and it waits for what is there

expect 7 'tasks are left' apiary drain gate_service --timeout 50ms --reason 'new gate'
expect 0 'gate_service/0: drain: new gate' apiary status
expect 0 '"reason": "new gate"' apiary status --json
expect 4 'nobody alive offers .*in drain' apiary delegate gate.pass x
expect 4 'gate_service +0 +gate +[0-9]+ +[0-9]+ +yes +drain' apiary discover gate.pass
expect 4 '"mode": "drain"' apiary discover gate.pass --json
expect 7 'nobody alive and ready offers gate.pass' apiary wait --capability gate.pass --timeout 50ms
expect 7 'no instance of gate_service passes and is ready' apiary wait gate_service --timeout 50ms
output=$(apiary check) # one who has stood at the gate for long enough is critical
code=$?
grep -qE 'WARNING.*gate_service/0 (passing|warning) in drain|CRITICAL.*gate_service/0 critical in drain' <<<"$output" &&
    [ $code -ge 1 ] && [ $code -le 2 ] || fail "check of one that is drained: $code: $output"
start "$folder/drain" apiary drain gate_service --timeout 5m
drain=$last
open_gate
until_true gone "$drain"
wait "$drain" || fail "drain exits $? after the last task: $(cat "$folder/drain")"
grep -q 'gate_service: 1 instance drained' "$folder/drain" || fail "drain says: $(cat "$folder/drain")"
expect 0 'gate_service/0: drain: new gate' apiary status # asking once more for the same has not taken the reason away
expect 0 'gate_service: 1 instance ready' apiary resume gate_service
expect 0 '' apiary wait --capability gate.pass
start "$folder/passed" apiary delegate gate.pass
passed=$last
until_true gone "$passed"
close_gate
grep -q open "$folder/passed" || fail "after resume: $(cat "$folder/passed")"
expect 4 "no instance of 'x_service' is registered" apiary drain x_service
expect 4 "no instance 7 of 'gate_service' is registered" apiary resume gate_service --instance 7
expect 64 'at most 72 printable ASCII' apiary pause gate_service --reason "$(printf 'a%.0s' {1..73})"
expect 0 'gate_service: 1 instance paused' apiary pause gate_service --reason 'for a moment'
expect 0 'gate_service .*pause' apiary status
expect 4 '' apiary delegate gate.pass x
expect 0 'gate_service: 1 instance ready' apiary resume gate_service

# ---- a task that has ended, and whose client has not come to collect it

start "$folder/stopped" apiary delegate gate.pass --timeout 5m
stopped=$last
until id=$(apiary task ls --state running | grep -o '^[^ ]* .*gate.pass' | cut -d' ' -f1); [ -n "$id" ]; do turn; done
stop "$stopped"
until apiary task show "$id" | grep -qE '^state +done'; do
    timeout 1 bash -c "printf open >'$folder/gate'" 2>/dev/null
done
expect 1 'has ended already \(done\), nothing to cancel' apiary task cancel "$id"
expect 0 'state +done' apiary task show "$id"
kill -CONT "$stopped"
wait "$stopped" || fail "its client exits $?"
grep -q open "$folder/stopped" || fail "its client says: $(cat "$folder/stopped")"

# ---- interrupts: the first cancels, the second does not wait for an agent that does not look

start "$folder/stubborn" apiary delegate gate.pass
stubborn=$last
until_true at_the_gate
until gone "$stubborn"; do kill -INT "$stubborn" 2>/dev/null; done
wait "$stubborn"
code=$?
[ "$code" -eq 1 ] || fail "interrupted twice, delegate exits $code"
grep -q 'interrupted' "$folder/stubborn" || fail "interrupted twice, it says: $(cat "$folder/stubborn")"
open_gate # its queen passes again when the agent has come back, and only then
until_true apiary check
close_gate

# ---- a dead queen, a leaving queen

kill -KILL "${queens[text_service]}"
until_true gone "${queens[text_service]}"
expect 4 'nobody alive offers this capability now' apiary delegate text.copy hello
expect 4 'nobody alive' apiary discover text.copy
expect 2 'CRITICAL: text_service/0 down' apiary check
expect 0 '^text_service/0: its queen died' apiary status
expect 0 '"ended": "died"' apiary status text_service --json
expect 3 'UNKNOWN' apiary check x_service
kill -TERM "${queens[echo_service]}"
wait "${queens[echo_service]}" || fail "a queen left with $? after SIGTERM"
expect 4 'nobody alive' apiary delegate echo hello
expect 0 '^echo_service/0: it was told to stop, and left [0-9.]+ [a-z]+ ago$' apiary status
expect 0 '"ended": "left"' apiary status echo_service --json
expect 0 '"ended": null' apiary status gate_service --json
expect 1 'already there' apiary queen gate_service --config "$config"

ends
