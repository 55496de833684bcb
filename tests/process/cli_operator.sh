#!/bin/bash
# What an operator meets at night: a request that kills its worker, a client that keeps everything, a queen that is stopped, a
# task that hangs, a start that is interrupted, a restart of everything under a living client.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry:
  members: 32
  lanes: 64
  tasks: 256
  member_share: 100
  payload: {blocks_256B: 64, blocks_1KiB: 8, blocks_4KiB: 4, blocks_16KiB: 0, blocks_64KiB: 0, blocks_256KiB: 0, blocks_1MiB: 0}
swarms:
  - service: text_service
    queen: {instances: 2}
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}
    checks:
      - {capability: echo, send: hello, expect: hello}
  - service: poison_service
    agents:
      - {name: fragile, plugin: $APIARY_PLUGINS/misbehave.so, capabilities: [fragile]}
    checks:
      - {capability: fragile, send: hello, expect: once}
END
start "$folder/up" apiary up --config "$config"
up=$last
until_true grep -q '2 of 2 checks passed, 2 swarms in 3 processes' "$folder/up"
until_true grep -q '3 of 3 instances passing' "$folder/up"
pid_of()
{
    apiary status --json | python3 -c '
import json, sys
print([s["pid"] for s in json.load(sys.stdin)["swarms"] if s["service"] == sys.argv[1] and s["instance"] == "0"][0])' "$1"
}

# ---- a request that kills its worker is given up after three; the next request is served

expect 0 '^once$' apiary delegate fragile hello
expect 1 'crashed its worker too often' apiary delegate fragile abort
until_true grep -q 'task gave up after crashes' "$folder/up"
until_true apiary check
expect 0 '^once$' apiary delegate fragile hello
expect 0 'OK: 3 instances passing' apiary check

# ---- a client that never gives results back: the table, then the largest blocks; check names it, and its death frees all

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 3
hold=$last
until_true grep -q holds "$folder/hold"
grep -q 'task table is full' "$folder/hold" || fail "the client ended otherwise: $(cat "$folder/hold")"
expect 5 "the task table is full: 'cli_hold' \(pid $hold\) holds [34] of its 4 parts; tasks makes it larger.*; retry after 10 ms" apiary delegate echo hello
expect 0 ', (192|256) of 256 tasks in use,' apiary status
expect 1 "WARNING: no room for another thread in the task table .* by pid $hold " apiary check
kill -KILL "$hold"
until_true apiary check
expect 0 '^hello$' apiary delegate echo hello

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 3000
hold=$last
until_true grep -q 'holds [1-9]' "$folder/hold"
expect 1 "WARNING: no free payload block of 4.0 KiB, .* by pid $hold " apiary check
expect 0 '"largest_blocks_free": 0' apiary status --json
expect 5 "no free block of 4096 bytes: 'cli_hold' \(pid $hold\) holds .*; retry after" apiary delegate echo - < <(head -c 2000 /dev/zero)
expect 0 '^small$' apiary delegate echo small
kill -KILL "$hold"
until_true apiary check

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 100 # the larger ones are kept for larger bodies
hold=$last
until_true grep -q 'holds [1-9]' "$folder/hold"
expect 1 "WARNING: no free payload block of 256 B, .* by pid $hold " apiary check
expect 5 'no free block of 256 bytes: ' apiary delegate echo - < <(head -c 200 /dev/zero)
expect 0 '"largest_blocks_free": [1-9]' apiary status --json
kill -KILL "$hold"
until_true apiary check

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 3000
hold=$last
until_true grep -q 'holds [1-9]' "$folder/hold"

# ---- everything is restarted under that client, which keeps what it has

kill -TERM "$up"
wait "$up" || fail "up left with $?"
grep -q "$APIARY_SEGMENT stays, 1 other member is attached" "$folder/up" || fail "up said: $(tail -3 "$folder/up")"
expect 2 'CRITICAL: .*text_service/0 down.*no coordinator' apiary check
start "$folder/up" apiary up --config "$config"
up=$last
until_true grep -q '3 of 3 instances passing' "$folder/up"
expect 1 "no free payload block of 4.0 KiB, .* by pid $hold " apiary check
kill -KILL "$hold"
until_true apiary check

# ---- a queen that is stopped is not dead, but it does not pass either

queen=$(pid_of poison_service)
stop "$queen"
late()
{
    apiary check | grep -qE '(WARNING: poison_service/0 warning|CRITICAL: poison_service/0 critical) \(no beat for [0-9.]+ s\)'
}
until_true late
expect 0 'poison_service/0: no beat for [0-9.]+ s: its process is stopped' apiary status
expect 7 'deadline' apiary delegate fragile hello --timeout 50ms
kill -CONT "$queen"
until_true apiary check
expect 0 '^once$' apiary delegate fragile hello
kill -TERM "$up"
wait "$up" || fail "up left with $?"
expect 0 '' apiary segment rm "$APIARY_SEGMENT" # it was somebody else's, too, when this supervisor came

# ---- a check that hangs, and an interrupt: 0 for a supervisor, 1 with --once

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256}
swarms:
  - service: gate_service
    agents:
      - {name: gate, plugin: $APIARY_PLUGINS/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}
    checks:
      - {capability: gate.pass, expect: never}
END
for once in '' --once; do
    start "$folder/up" apiary up --drain 50ms --config "$config" $once
    up=$last
    until apiary task ls 2>/dev/null | grep -qE 'running +gate.pass +gate_service/gate +[0-9]+ +1 '; do turn; done
    kill -TERM "$up"
    wait "$up"
    code=$?
    [ "$code" -eq $((${#once} > 0)) ] || fail "up $once left with $code after an interrupt"
    grep -q 'interrupted before all checks were done' "$folder/up" || fail "up $once said: $(cat "$folder/up")"
    grep -qE 'gate.pass .*interrupted' "$folder/up" || fail "the row says: $(cat "$folder/up")"
    grep -q 'ends with tasks in hand, which others take over' "$folder/up" || fail "the queen said: $(cat "$folder/up")"
    grep -qE 'stopped 1 instance in [^,]*; 1 task is undone' "$folder/up" || fail "up $once said: $(cat "$folder/up")"
    grep -q 'starting it again' "$folder/up" && fail "something was started again while everything was stopped"
    [ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail 'the segment is still there'
done

ends
