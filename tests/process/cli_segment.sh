#!/bin/bash
# The coordinator and the segment: what attach says, who removes what, how apiaryd is taken over.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
shm=/dev/shm$APIARY_SEGMENT
printf 'meta_registry: {members: 32, lanes: 64, tasks: 512}\n' >"$config"

expect 3 'attach: .*no such segment.*start the coordinator' apiary status
expect 3 'no such segment' apiary delegate test.cat hello
expect 3 'no such segment' apiary segment rm "$APIARY_SEGMENT"
# What a script's unset variable leaves is no name, least of all the default's.
expect 64 'the name is empty' apiary segment rm ''
expect 64 "is not a name; it is '/' and 1 to 62 other bytes, no '/'" apiary status --segment "/$(printf '%0300d' 0)"
expect 64 '--segment: the name is empty' apiary status --segment ''
expect 64 '--segment: the name is empty' apiary --segment= status
expect 64 '--segment: the name is empty' apiaryd --segment=
expect 2 'CRITICAL.*no such segment' apiary check

# Not ours, too small to be one.
head -c 65536 /dev/urandom >"$shm"
expect 3 'not an apiary segment' apiary status
expect 3 'not an apiary segment, or a damaged one; --force' apiary segment rm "$APIARY_SEGMENT"
printf 'apiary: nope: nobody has ever offered it' >"$shm-damaged"
truncate -s 1M "$shm-damaged"
expect 3 'not an apiary segment' apiary --segment "$APIARY_SEGMENT-damaged" status
expect 3 '--force removes it anyway' apiary segment rm "$APIARY_SEGMENT-damaged"
expect 0 '' apiary segment rm -f "$APIARY_SEGMENT-damaged"
[ ! -e "$shm-damaged" ] || fail 'a damaged segment stays'
mkfifo "$shm-fifo"
expect 3 'not an apiary segment' apiary segment rm -f "$APIARY_SEGMENT-fifo"
expect 3 'not an apiary segment' apiaryd --config "$config"
rm -f "$shm"

# Whom it is to belong to must exist, and a number must be one.
for owner in 'owner: nobody-of-that-name' 'owner: -1' 'group: "4294967295"' 'group: "99999999999"' 'owner: 0x10'; do
    printf 'meta_registry: {%s}\n' "$owner" >"$folder/owner.yaml"
    expect 2 "${owner%%:*}: no (user|group) is called .*; give a" apiaryd --config "$folder/owner.yaml"
done
[ ! -e "$shm" ] || fail 'a segment was made for a user that is not there'
if [ "$(id -u)" -eq 0 ]; then
    # A number may begin with each digit, with the last of them, too.
    for group in 98765 0; do
        printf 'meta_registry: {owner: "65534", group: "%s", tasks: 512}\n' "$group" >"$folder/owner.yaml"
        start "$folder/owned-$group" apiaryd --config "$folder/owner.yaml" --remove
        until_true grep -q created "$folder/owned-$group"
        [ "$(stat -c %u:%g "$shm")" = "65534:$group" ] || fail "the segment belongs to $(stat -c %u:%g "$shm"), not $group"
        kill -TERM "$last"
        wait "$last"
    done
fi

# A limit on the size of files is an answer, not the end by a signal.
expect 5 'cannot reserve [0-9]+ bytes.*File too large' bash -c 'ulimit -f 8; exec apiaryd'

# One coordinator; a second one is refused, and the first goes on.
start "$folder/first" apiaryd --config "$config"
daemon=$last
until_true grep -q "created $APIARY_SEGMENT" "$folder/first"
expect 0 "coordinator pid $daemon" apiary status
expect 1 'another apiaryd' apiaryd --config "$config"
expect 0 "$APIARY_SEGMENT .*0660 .* 1 " apiary segment ls
expect 0 '"schema": 1' apiary segment ls --json
expect 1 '1 living member is attached' apiary segment rm "$APIARY_SEGMENT"
[ -e "$shm" ] || fail 'the segment was removed under a living member'
expect 2 "no swarm is registered in $APIARY_SEGMENT$" apiary check
expect 3 "no swarm of this service was ever registered in $APIARY_SEGMENT$" apiary check x_service
expect 7 "wait: $APIARY_SEGMENT: no instance of x_service passes" apiary wait x_service --timeout 1ms
expect 7 "wait: $APIARY_SEGMENT: nobody alive and ready offers test.cat" apiary wait --capability test.cat --timeout 1ms
# A stale variable: a file is not judged by another segment than its own.
cat >"$folder/elsewhere.yaml" <<END
meta_registry: {segment: $APIARY_SEGMENT-2}
swarms: [{service: one, agents: [{name: e, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [one]}]}]
END
stale="APIARY_SEGMENT is $APIARY_SEGMENT, but $folder/elsewhere.yaml says segment: $APIARY_SEGMENT-2; unset"
expect 3 "$stale" apiary check --config "$folder/elsewhere.yaml"
expect 2 "$stale" apiary wait --all --config "$folder/elsewhere.yaml" --timeout 1ms
expect 2 "$stale" apiary wait one --config "$folder/elsewhere.yaml" --timeout 1ms
expect 2 "$stale" apiary config diff "$folder/elsewhere.yaml" --running
expect 2 "CRITICAL: one/0 is not registered in $APIARY_SEGMENT \\|" \
    apiary -s "$APIARY_SEGMENT" check --config "$folder/elsewhere.yaml"
expect 2 "CRITICAL: $APIARY_SEGMENT-2: no such segment" env -u APIARY_SEGMENT apiary check --config "$folder/elsewhere.yaml"
expect 7 "wait: $APIARY_SEGMENT: one/0 is not registered" apiary -s "$APIARY_SEGMENT" wait --all -c "$folder/elsewhere.yaml" -t 1ms
expect 4 'nobody has ever offered' apiary discover test.cat
expect 4 "no swarm of a service 'x_service'" apiary status x_service

# Killed: the segment stays, and the next one takes over the same.
inode=$(stat -c %i "$shm")
kill -KILL "$daemon"
until_true gone "$daemon"
expect 0 'no coordinator' apiary status
start "$folder/second" apiaryd --config "$config"
daemon=$last
until_true grep -q "took over $APIARY_SEGMENT" "$folder/second"
[ "$(stat -c %i "$shm")" = "$inode" ] || fail 'the segment is another one after the daemon was killed'

# SIGTERM leaves the segment; a living segment keeps its sizes and says so.
kill -TERM "$daemon"
wait "$daemon" || fail "apiaryd left with $? after SIGTERM"
[ "$(stat -c %i "$shm")" = "$inode" ] || fail 'SIGTERM removed the segment'
printf 'meta_registry: {members: 48, lanes: 64, tasks: 512}\n' >"$config"
start "$folder/third" apiaryd --config "$config" --remove
daemon=$last
until_true grep -q "took over" "$folder/third"
grep -q 'members 32.*48' "$folder/third" || fail "another size was not told: $(cat "$folder/third")"

# Another version: both are told. The version is the 32-bit word at byte 8, the oldest that may read it at 12.
cp "$shm" "$shm-old"
printf '\377\377\377\000\377\377\377\000' | dd of="$shm-old" bs=1 seek=8 conv=notrunc status=none
expect 3 'version 16777215, this library works with [0-9]+ to [0-9]+' apiary --segment "$APIARY_SEGMENT-old" status
expect 3 "version.*'apiary segment rm'" apiaryd --segment "$APIARY_SEGMENT-old" --config "$config"
expect 0 "$APIARY_SEGMENT-old .*another layout version" apiary segment ls
expect 0 '' apiary segment rm "$APIARY_SEGMENT-old"
[ ! -e "$shm-old" ] || fail 'segment rm left a segment of another version'

# Truncated.
head -c 8192 "$shm" >"$shm-short"
expect 3 '8192 bytes.*truncated' apiary --segment "$APIARY_SEGMENT-short" status
rm -f "$shm-short"

# No permission: as another user, who may not even read it.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    # The tree may lie where that user cannot look.
    cp "$APIARY_BIN/apiary" "$APIARY_BIN/apiaryd" "$folder" && chmod 755 "$folder" "$folder/apiary" "$folder/apiaryd"
    expect 3 'no permission.*group' setpriv --reuid 65534 --regid 65534 --clear-groups "$folder/apiary" status
    expect 3 'no permission' setpriv --reuid 65534 --regid 65534 --clear-groups "$folder/apiary" delegate test.cat x
    expect 3 'no permission; only its owner and root' setpriv --reuid 65534 --regid 65534 --clear-groups "$folder/apiary" segment rm "$APIARY_SEGMENT"
    expect 3 'another name .*--segment.*no permission' setpriv --reuid 65534 --regid 65534 --clear-groups "$folder/apiaryd"
fi

kill -TERM "$daemon"
wait "$daemon" || fail "apiaryd left with $? after SIGTERM"
[ ! -e "$shm" ] || fail '--remove left the segment'

# The service manager's protocol.
python3 - "$folder/notify" >"$folder/heard" <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
for _ in range(2): print(s.recv(100).decode(), flush=True)
END
listener=$!
until_true test -S "$folder/notify"
NOTIFY_SOCKET=$folder/notify start "$folder/fourth" apiaryd --remove
daemon=$last
until_true grep -q READY=1 "$folder/heard"
kill -TERM "$daemon"
wait "$daemon" "$listener"
grep -q STOPPING=1 "$folder/heard" || fail 'STOPPING=1 was not told'

# Removed by hand under a living queen, who says so; and the one that is made meanwhile is nobody's to remove but its own maker's.
cat >"$config" <<END
swarms:
  - service: upper_service
    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]
    checks: [{capability: text.upper, send: a, expect: A}]
END
rm -f "$shm"
start "$folder/up" apiary up --config "$config"
up=$last
until_true grep -q '1 of 1 checks passed' "$folder/up"
rm -f "$shm"
until_true grep -q "the segment $APIARY_SEGMENT has been removed while in use" "$folder/up"
start "$folder/other" apiaryd --config "$config"
other=$last
until_true grep -q "created $APIARY_SEGMENT" "$folder/other"
inode=$(stat -c %i "$shm")
kill -TERM "$up"
wait "$up"
grep -q "$APIARY_SEGMENT had been removed meanwhile" "$folder/up" || fail "up does not say whose segment it found: $(cat "$folder/up")"
[ "$(stat -c %i "$shm")" = "$inode" ] || fail "up removed the segment of somebody else"
kill -TERM "$other"
wait "$other"

ends
