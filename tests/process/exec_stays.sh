#!/bin/bash
# Processes that stay (exec with `persistent`, and with `socket`): the examples in each language that is here, a process that does
# all that it may not, and what becomes of all of them when their queen is stopped and when she is killed.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
major=0
examples=$APIARY_SOURCE/tools/examples/exec
declare -A interpreter=([py]=python3 [js]=node [rb]=ruby [sh]=bash)
kinds=()
for kind in py js rb sh; do
    if command -v "${interpreter[$kind]}" >/dev/null; then
        kinds+=("$kind")
    else
        echo "skipped: words.$kind: there is no ${interpreter[$kind]} here"
    fi
done
cat >"$folder/unruly" <<'END'
import json, os, signal, sys, time
source, sink = sys.stdin.buffer, sys.stdout.buffer
def read():
    line = source.readline()
    if not line: sys.exit(0)
    h, b = map(int, line.split())
    return json.loads(source.read(h)), source.read(b)
def write(head, body=b""):
    text = json.dumps(head).encode()
    sink.write(b"%d %d\n" % (len(text), len(body)) + text + body)
    sink.flush()
def pause():
    while True: time.sleep(1)
read()
write({"type": "hello", "protocol": 1})
while True:
    head, body = read()
    if head["type"] == "cancel": continue
    id, (word, _, rest) = head["id"], body[:40].decode(errors="replace").partition(" ")
    if word == "exit": sys.stderr.write("last words\n"); sys.stderr.flush(); os._exit(int(rest))
    if word == "signal": os.kill(os.getpid(), int(rest))
    if word == "garbage": sink.write(b"Traceback (most recent call last):\n"); sink.flush(); pause()
    if word == "head": sink.write(b"3 0\nabc"); sink.flush(); pause()
    if word == "type": write({"type": "reslut", "id": id}); pause()
    if word == "other": write({"type": "result", "id": id + 1}); pause()
    if word == "close": os.close(1); pause()
    if word == "much": write({"type": "result", "id": id}, b"x" * (2 << 20)); pause()
    if word == "hang": pause()
    if word == "listen":
        while True:
            cancel, _ = read()
            if cancel["type"] == "cancel" and cancel["id"] == id: break
        write({"type": "fail", "id": id, "code": 7}, cancel["why"].encode()); continue
    if word == "flood":
        try:
            for n in range(100000): write({"type": "part", "id": id}, b"part %d\n" % n)
        except BrokenPipeError: os._exit(3)
    if word == "stale":
        if id > 1: write({"type": "result", "id": id - 1}, b"of another")
        write({"type": "beat", "id": 1}, b"of another")
    if word == "last": write({"type": "result", "id": id}, b"and gone"); os._exit(0)
    if word == "pid": body = str(os.getpid()).encode()
    if word == "child": body = str(os.spawnlp(os.P_NOWAIT, "tail", "tail", "-f", "/dev/null")).encode()
    write({"type": "result", "id": id}, body)
END
{
    echo 'meta_registry: {members: 32, lanes: 64, tasks: 512, payload: {blocks_1MiB: 16}}'
    echo swarms:
    for kind in "${kinds[@]}"; do
        major=$((major + 1))
        echo "  - {service: ${kind}_service, agents: [{name: words, kind: exec,"
        echo "     capabilities: [upper@$major, words@$major, refuse@$major],"
        echo "     config: {command: [env, ${interpreter[$kind]}, $examples/words.$kind], persistent: 2}}]}"
    done
    cat <<END
  - service: unruly_service
    agents:
      - {name: unruly, kind: exec, capabilities: [unruly],
         config: {command: [env, python3, $folder/unruly], persistent: 1, grace: 100ms, max_output: 1MiB}}
  - service: socket_service
    agents:
      - {name: words, kind: exec, capabilities: [socket.upper, upper@9, refuse@9], config: {socket: $folder/socket, persistent: 2}}
  - service: mute_service
    agents:
      - {name: mute, kind: exec, capabilities: [mute],
         config: {command: [tail, -f, /dev/null], persistent: 2, start_timeout: 100ms}}
      - {name: ended, kind: exec, capabilities: [ended], config: {command: [sh, -c, 'echo no >&2; exit 3'], persistent: 2}}
END
} >"$config"
start "$folder/daemon.log" apiaryd --config "$config"
daemon=$last
until_true apiary status
declare -A queen
for service in "${kinds[@]/%/_service}" unruly_service socket_service mute_service; do
    start "$folder/$service.log" apiary queen "$service" --config "$config"
    queen[$service]=$last
    until_true apiary check "$service"
done

# ---- the examples: each answers the same

major=0
for kind in "${kinds[@]}"; do
    major=$((major + 1))
    expect 0 '^HELLO, WORLD$' apiary delegate "upper@$major" 'hello, world'
    expect 0 '^$' apiary delegate "upper@$major" ''
    [ "$(apiary delegate "words@$major" ' one two  three ')" = $'one\ntwo\nthree' ] || fail "$kind: parts joined"
    [ "$(apiary delegate --parts "words@$major" 'one two')" = $'one\ntwo' ] || fail "$kind: parts"
    expect 1 'a bad day' apiary delegate "refuse@$major" 'a bad day'
    until_true grep -q 'a task is refused' "$folder/${kind}_service.log"
    expect 0 '^AGAIN$' apiary delegate "upper@$major" 'again'
    large=$(head -c 300000 /dev/zero | tr '\0' a)
    [ "$(apiary delegate "upper@$major" - <<<"$large" | tr -d '\n' | wc -c)" -eq 300000 ] || fail "$kind: a large body"
done

# ---- all that a process may not

pid() { apiary delegate -t 60s unruly pid; }
unruly() # unruly REQUEST PATTERN: the task fails so, and the next one is run by another process
{
    local before now
    before=$(pid)
    expect 1 "$2" apiary delegate -t "${3:-60s}" unruly "$1"
    now=$(pid) || fail "after $1 there is no process any more: $now"
    [ "$before" != "$now" ] || fail "after $1 it is the same process"
    gone "$before" || fail "the process of before $1 is still there"
}
unruly 'exit 5' 'ended with exit status 5 before it answered.*last words'
unruly 'signal 9' 'killed by signal 9'
unruly garbage '"Traceback [^"]*" is not the first line of a message'
unruly head 'the head of a message is not JSON'
unruly type 'of no type that there is: "reslut"'
unruly other 'no "id" of a task that it was given'
unruly close 'closed its standard output'
unruly much 'sent more than max_output'
kill -0 "${queen[unruly_service]}" || fail 'the queen has gone'
before=$(pid)
expect 0 '^and gone$' apiary delegate unruly last
until_true gone "$before"
expect 0 '^stale' apiary delegate unruly 'stale'

# Told to stop: one answers and stays, one is killed; whom nobody reads waits.
cancelled() # cancelled REQUEST
{
    apiary delegate -t 60s unruly "$1" >"$folder/cancelled" 2>&1 &
    local caller=$! id
    until_true eval '[ -n "$(running)" ]'
    id=$(running)
    apiary task cancel "$id" || fail "the task cannot be cancelled: $1"
    wait "$caller" && fail "a cancelled task succeeded: $1"
}
running() { apiary task ls --json | python3 -c 'import json, sys
print(*[t["task"] for t in json.load(sys.stdin)["tasks"] if t["state"] == "running"])'; }
before=$(pid)
cancelled listen
grep -q cancelled "$folder/cancelled" || fail "the process was not told why: $(cat "$folder/cancelled")"
[ "$(pid)" = "$before" ] || fail 'a process that stops its task when it is told to is ended'
cancelled hang
[ "$(pid)" != "$before" ] || fail 'a process that does not stop its task goes on'
before=$(pid)
apiary delegate -t 1s unruly hang >/dev/null 2>&1 && fail 'a task that hangs succeeded'
until_true gone "$before"
expect 0 '^[0-9]+$' pid
[ "$(apiary delegate --parts unruly flood | head -n 3)" = $'part 0\npart 1\npart 2' ] || fail 'parts of a flood'
expect 0 '^[0-9]+$' pid

# A body of 1 MB both ways, beyond what pipes hold.
head -c 1000000 /dev/urandom >"$folder/large"
apiary delegate -t 60s unruly - <"$folder/large" >"$folder/larger"
cmp <(head -c 1000000 "$folder/larger") "$folder/large" || fail 'a body of 1 MB has come back as another'

# ---- what never comes up: a task fails with the reason, and the queen goes on

expect 1 'did not say hello within start_timeout' apiary delegate -t 60s mute x
expect 1 'ended with exit status 3 before it said hello.*no' apiary delegate -t 60s ended x

# ---- a process that starts by itself

expect 1 'cannot connect: No such file' apiary delegate -t 60s socket.upper x
start "$folder/server.log" python3 "$examples/words.py" "$folder/socket"
server=$last
until_true eval '[ "$(apiary delegate -t 60s upper@9 over)" = OVER ]'
expect 1 'a bad day' apiary delegate refuse@9 'a bad day'
kill -KILL "$server"
until_true grep -q 'closed the connection' "$folder/socket_service.log"
start "$folder/server.log" python3 "$examples/words.py" "$folder/socket"
until_true eval '[ "$(apiary delegate -t 60s upper@9 again)" = AGAIN ]'

# ---- in order: input ends, processes end by themselves; and killed: nobody is left

before=$(pid)
child=$(apiary delegate unruly child)
kill -TERM "${queen[unruly_service]}"
wait "${queen[unruly_service]}" || fail "the queen's end: $?"
gone "$before" || fail 'a process is left of a queen that was stopped'
gone "$child" || fail "a process's child is left"
start "$folder/unruly_service.log" apiary queen unruly_service --config "$config"
queen[unruly_service]=$last
until_true apiary check unruly_service
before=$(pid)
child=$(apiary delegate unruly child)
kill -KILL "${queen[unruly_service]}"
until_true gone "$before"
until_true gone "$child"
ends
