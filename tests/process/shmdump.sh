#!/bin/bash
# shmdump on a live segment, on its copy, on the remains of a dead one, and on what is none: output and exit codes.
# ctest: address
set -u
dump=$APIARY_BIN/shmdump
work=$(mktemp -d)
name=/apiary-shmdump-$$
failures=0
trap 'rm -rf "$work"; rm -f "/dev/shm$name"' EXIT

expect() # expect CODE WHAT COMMAND...
{
    local code=$1 what=$2 got
    shift 2
    "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    [ "$got" -eq "$code" ] && return
    echo "$what: exit code $got, not $code"
    head -n 5 "$work/out" "$work/err"
    failures=$((failures + 1))
}

shows() # shows WHAT REGEX...: in the output of the last command
{
    local what=$1 regex
    shift
    for regex in "$@"; do
        grep -Eq -- "$regex" "$work/out" "$work/err" && continue
        echo "$what: no '$regex' in its output"
        failures=$((failures + 1))
    done
}

poke() # poke FILE OFFSET BYTES: as of printf
{
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# ---- live

coproc holder { exec "$APIARY_TEST_BIN/corrupt" --hold "$name"; }
read -r line <&"${holder[0]}"
[ "$line" = ready ] || exit 1
pid=$holder_PID

expect 0 live "$dump" "$name"
shows live 'segment .*live' '^lanes \(4\)' 'storage_service' 'cache\.put@2' '  running +1' 'payload pool' 'queued task moved'
expect 0 'by a name without a slash' "$dump" "${name#/}"
expect 0 'by --segment' "$dump" --segment "$name"
expect 0 'by the environment' env APIARY_SEGMENT="$name" "$dump"
expect 0 'live, tasks' "$dump" "$name" --tasks
shows 'live, tasks' 'releasing' 'APIARY_ECANCELLED' 'store\.write'
expect 0 'live, verify' "$dump" "$name" --verify
shows 'live, verify' 'sound: [0-9]+ words checked, 0 repairable, 0 corrupt'
expect 0 'live, json' "$dump" "$name" --json --tasks
shows 'live, json' '"schema": 1' '"live": true' '"state": "releasing"'
cp "/dev/shm$name" "$work/copy"

# Watched until it is told to stop; each second one line.
exec 3< <(exec "$dump" "$name" --watch --json 2>&1)
watcher=$!
for _ in 1 2; do
    read -r line <&3
    [[ $line == '{"schema":1,'* ]] || { echo "the watch prints '$line'"; failures=$((failures + 1)); }
done
kill -INT "$watcher"
wait "$watcher" || { echo "the watch ended with $?"; failures=$((failures + 1)); }
exec 3<&-

# Nobody reads what it prints: it has begun to, and is told to stop.
mkfifo "$work/unread"
exec 3<>"$work/unread"
dd if=/dev/zero of="$work/unread" bs=4096 oflag=nonblock status=none 2>/dev/null # until it is full
dd if="$work/unread" of=/dev/null bs=4096 count=2 iflag=fullblock status=none <&3
unread() # how many bytes lie there
{
    python3 -c 'import fcntl, struct, termios; print(*struct.unpack("i", fcntl.ioctl(3, termios.FIONREAD, bytes(4))))' 3<&3
}
before=$(unread)
"$dump" "$name" --watch --tasks >"$work/unread" 2>"$work/said" &
watcher=$!
until [ "$(unread)" -gt "$before" ]; do turn; done
kill -TERM "$watcher"
wait "$watcher"
code=$?
[ "$code" -eq 1 ] && grep -q 'standard output' "$work/said" ||
    { echo "the watch that nobody reads ended with $code: $(cat "$work/said")"; failures=$((failures + 1)); }
exec 3<&-

# ---- its copy, and the dead

expect 0 copy "$dump" "$work/copy" --verify
expect 0 'copy, shown' "$dump" "$work/copy"
shows 'copy, shown' 'segment .*copy'
kill -KILL "$pid"
wait "$pid" 2>/dev/null
expect 1 dead "$dump" "$name" --verify
shows dead 'repairable: lane 0 offset [0-9]+ rule L5' 'repairable: slot [0-9]+ offset [0-9]+ rule T11' ' 0 corrupt$'
expect 1 'dead, json' "$dump" "$name" --verify --json
shows 'dead, json' '"verdict": "repairable"' '"rule": "L5"'
expect 0 'dead, shown' "$dump" "$name"

# ---- broken

corrupt() # corrupt WHAT OFFSET BYTES REGEX
{
    cp "$work/copy" "$work/broken"
    poke "$work/broken" "$2" "$3"
    expect 2 "$1" "$dump" "$work/broken" --verify
    shows "$1" "$4"
    expect 0 "$1, shown" "$dump" "$work/broken" --tasks
    expect 0 "$1, json" "$dump" "$work/broken" --tasks --json
}
corrupt magic 0 'x' '^corrupt: header 0 offset 0 rule S1: '
corrupt version 8 '\xff' '^corrupt: header 0 offset 8 rule S2: '
corrupt fingerprint 16 '\x00\x00\x00' '^corrupt: header 0 offset 16 rule S3: '
corrupt size 24 '\xff\xff' '^corrupt: header 0 offset 24 rule S4: '
corrupt state 32 '\x07' '^corrupt: header 0 offset 32 rule S5: '
corrupt 'section count' 36 '\xff' '^corrupt: header 0 offset 36 rule S6: '
cp "$work/copy" "$work/short"
truncate -s 100000 "$work/short"
expect 2 'cut short' "$dump" "$work/short" --verify
shows 'cut short' 'rule S4: '
truncate -s 700 "$work/short"
expect 2 'cut to less than a page' "$dump" "$work/short" --verify

# ---- none

expect 3 'no such thing' "$dump" /apiary-no-such-segment
shows 'no such thing' 'no such segment'
expect 3 'another file' "$dump" "$0"
shows 'another file' 'not an apiary segment'
: >"$work/empty"
expect 3 'an empty file' "$dump" "$work/empty"
expect 3 'a folder' "$dump" "$work"
expect 3 'the folder of all' "$dump" /
shows 'the folder of all' 'neither a segment nor a file'
mkfifo "$work/fifo"
expect 3 'a pipe that nobody writes' "$dump" "$work/fifo"
head -c 300000 /dev/urandom >"$work/noise"
expect 3 noise "$dump" "$work/noise"
expect 64 'an unknown option' "$dump" --wrong
expect 64 'two names' "$dump" one two
expect 64 'a wrong number' "$dump" --events -1 "$work/copy"
expect 0 help "$dump" --help
expect 0 version "$dump" --version

# ---- every rule is in the manual page

while read -r rule; do
    grep -Eq "^\.It (\\\\&)?$rule\$" "$APIARY_SOURCE/tools/man/shmdump.1" && continue
    echo "the manual page does not have the rule $rule"
    failures=$((failures + 1))
done < <(cd "$APIARY_SOURCE" && grep -ohE '"[SMLTQPERDA][0-9]+"' shm/check*.[ch] registry/*.c registry/*/*.c | tr -d '"' | sort -u)
[ "$failures" -eq 0 ]
