#!/bin/bash
# The supervisor: its checks can fail, it restarts what dies, leaves nothing behind.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
write() # write EXPECT: two services, one of them twice
{
    cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: text_service
    queen: {instances: 2}
    agents:
      - {name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}
    checks:
      - {capability: text.upper, send: hello, expect: $1}
  - service: echo_service
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}
    checks:
      - {capability: echo, send: twice, expect: twice}
      - {capability: echo, send: 2 times, expect_match: "^[0-9] times\$"}
END
}

# ---- once

write HELLO
expect 0 '3 of 3 checks passed, 2 swarms in 3 processes' apiary up --once --config "$config"
grep -qE 'text.upper +text_service/upper [0-9]+ +[0-9.]+ (us|ms|s) +ok "HELLO"' <<<"$output" || fail "no row of text.upper: $output"
[ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail 'the segment is still there'
apiary up --once --config "$config" --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["schema"] == 1 and o["passed"] == o["rows"] == 3 and all(c["passed"] for c in o["checks"])' || fail 'up --json'
# A program that merely succeeds fails the row.
write hello
expect 1 'FAILED: got "HELLO", expected "hello"' apiary up --once --config "$config"
grep -q '2 of 3 checks passed' <<<"$output" || fail "the sum is wrong: $output"

# A queen that cannot start is named, and everything else is stopped.
write HELLO
printf '  - {service: bad_service, agents: [{name: a, kind: exec, capabilities: [bad], config: {command: [cat], directory: /nowhere/at/all}}]}\n' >>"$config"
apiary up --once --config "$config" >"$folder/bad" 2>&1 && fail 'a queen that cannot start went unnoticed'
grep -q 'bad_service/0' "$folder/bad" || fail "the bad queen is not named: $(cat "$folder/bad")"
[ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail 'the segment is still there after a failure'

# Whoever reads what it says may go: the swarms are stopped as ever, and the segment goes.
apiary up --once --config "$config" 2>&1 | true
[ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail 'the segment is still there after its reader went'

# ---- staying

write HELLO
start "$folder/up" apiary up --config "$config"
up=$last
until_true grep -q '3 of 3 checks passed' "$folder/up"
expect 0 'OK: 3 instances passing' apiary check
pid_of()
{
    apiary status --json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["swarms"]:
    if s["service"] == sys.argv[1] and s["instance"] == "0" and s["state"] != "down": print(s["pid"])' "$1"
}
comes_back() # comes_back SERVICE OLD
{
    local now
    now=$(pid_of "$1")
    [ -n "$now" ] && [ "$now" != "$2" ]
}
killed=$(pid_of echo_service)
kill -KILL "$killed"
until_true comes_back echo_service "$killed"
until_true apiary check
expect 0 '^again$' apiary delegate echo again
grep -q 'echo_service/0 killed by signal 9, starting it again' "$folder/up" || fail "the restart was not told: $(cat "$folder/up")"
daemon=$(apiary status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["daemon"])')
kill -KILL "$daemon"
expect 0 '^meanwhile$' apiary delegate echo meanwhile
until_true apiary check
mapfile -t children < <(pgrep -P "$up")
[ "${#children[@]}" -eq 4 ] || fail "${#children[@]} children"
kill -INT "$up"
wait "$up" || fail "up left with $? after SIGINT: $(cat "$folder/up")"
for pid in "${children[@]}"; do gone "$pid" || fail "process $pid is left behind"; done
[ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail 'the segment is still there after SIGINT'

# Killed itself: the kernel ends its children, and the next one takes the segment over and removes it.
start "$folder/up" apiary up --config "$config"
up=$last
until_true grep -q '3 of 3 checks passed' "$folder/up"
mapfile -t children < <(pgrep -P "$up")
kill -KILL "$up"
for pid in "${children[@]}"; do until_true gone "$pid"; done
[ -e "/dev/shm$APIARY_SEGMENT" ] || fail 'the segment went with the supervisor'
expect 0 '3 of 3 checks passed' apiary up --once --config "$config"
[ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail 'the segment is still there'

# A segment in which others live is used and left.
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
expect 1 'another apiaryd' apiary up --once --config "$config"
grep -q 'starting it again' <<<"$output" && fail "a coordinator that cannot start is said to be started again: $output"
[ -e "/dev/shm$APIARY_SEGMENT" ] || fail 'a segment of somebody else was removed'

ends
