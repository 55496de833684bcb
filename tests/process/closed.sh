#!/bin/bash
# Every program with its standard descriptors closed, in all combinations: none of its messages or results gets into the segment.
# And what a caller leaves behind: descriptors, ignored and blocked signals, a standard output that is full.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END_OF_CONFIG
meta_registry: {segment: $APIARY_SEGMENT, members: 32, lanes: 64, tasks: 512}
swarms:
  - service: text_service
    agents:
      - {name: cat, kind: exec, capabilities: [text.copy], config: {command: [cat]}}
    checks:
      - {capability: text.copy, send: hello, expect: hello}
END_OF_CONFIG
head -c 100000 /dev/zero | tr '\0' x >"$folder/100KB"

# closed BITS COMMAND...: becomes the command, with 0, 1 and 2 closed where BITS has 1, 2 and 4.
closed()
{
    local bits=$1
    shift
    [ $((bits & 1)) -eq 0 ] || exec 0<&-
    [ $((bits & 2)) -eq 0 ] || exec 1>&-
    [ $((bits & 4)) -eq 0 ] || exec 2>&-
    exec "$@"
}

sound()
{
    local code
    shmdump --verify >"$folder/verify" 2>&1
    code=$?
    [ "$code" -le 1 ] || fail "the segment is damaged after $*: $(cat "$folder/verify")"
}

# ---- who comes and goes, on a segment that an operator made with everything closed

export APIARY_CONFIG=$config
for bits in $(seq 0 7); do
    closed "$bits" apiaryd >"$folder/daemon" 2>&1 &
    daemon=$!
    until_true apiary status
    closed "$bits" apiary queen text_service >"$folder/queen" 2>&1 &
    queen=$!
    until_true apiary check text_service
    sound "starting with $bits closed"
    for command in 'apiary delegate nope x' "apiary delegate text.copy @$folder/100KB" "apiary delegate text.copy -" 'apiary status' \
        'apiary services' 'apiary discover text.copy' 'apiary discover nope' 'apiary kinds' 'apiary task ls' 'apiary task show 1-1-1' \
        'apiary check' 'apiary segment ls' 'apiary segment rm' 'apiary drain nope' 'apiary resume text_service' 'apiary queen nope' \
        'apiary queen text_service' 'apiaryd' 'apiary up --once --wait nonsense' 'apiary --help' 'apiary nope' 'shmdump' 'shmdump --verify' \
        'shmdump --events 5 --json' "$APIARY_BUILD/examples/first_client text.copy hello" \
        "$APIARY_BUILD/examples/first_client nope hello"; do
        # shellcheck disable=SC2086 # words
        (closed "$bits" $command) >"$folder/out" 2>"$folder/err" <<<'read from here'
        code=$?
        sound "'$command' with $bits closed"
        [ "$code" -lt 128 ] || fail "'$command' with $bits closed ended with $code"
        # What should be printed and cannot be is no success.
        case "$code $command $((bits & 2))" in
        "0 apiary drain"* | "0 "*" 0" | "0 $APIARY_BUILD"*) ;;
        "0 "*) fail "'$command' with $bits closed printed into nothing and says it is fine" ;;
        esac
    done
    kill -TERM "$queen" "$daemon"
    wait "$queen" || fail "a queen with $bits closed left with $?: $(cat "$folder/queen")"
    wait "$daemon" || fail "a coordinator with $bits closed left with $?: $(cat "$folder/daemon")"
    sound "leaving with $bits closed"
    expect 0 '' apiary segment rm "$APIARY_SEGMENT"
    (closed "$bits" apiary up --once) >"$folder/up" 2>&1
    code=$?
    [ "$code" -eq $(((bits & 2) != 0)) ] || fail "up --once with $bits closed exits $code: $(cat "$folder/up")"
done

# ---- what is said of it

start "$folder/daemon" apiaryd
daemon=$last
until_true apiary status
start "$folder/queen" apiary queen text_service
queen=$last
until_true apiary check text_service
expect 1 'standard input is closed' closed 1 apiary delegate text.copy -
(closed 2 apiary delegate text.copy hello) 2>"$folder/err"
grep -q 'standard output is closed' "$folder/err" || fail "with standard output closed: $(cat "$folder/err")"
if [ -w /dev/full ]; then
    for command in 'apiary status' 'apiary services' 'apiary kinds' 'apiary discover text.copy' 'apiary task ls' 'apiary check' \
        'apiary segment ls' 'apiary delegate text.copy x' 'apiary delegate text.copy x --detach' 'apiary status --json' \
        'apiary resume text_service' 'apiary --help' 'apiary --version' 'apiaryd --help' 'shmdump' 'shmdump --json' 'shmdump --verify' \
        'apiary-perf --help' 'apiary-perf --version' 'apiary-perf list' 'apiary-perf list --json' 'apiary-perf build'; do
        # shellcheck disable=SC2086 # words
        $command >/dev/full 2>"$folder/err" && fail "'$command' is fine with a full disk"
        grep -q 'standard output' "$folder/err" || fail "'$command' with a full disk says: $(cat "$folder/err")"
    done
fi
kill -TERM "$queen" "$daemon"
wait "$queen" "$daemon"

# ---- what a caller leaves behind: a lock on a descriptor, and all signals ignored or blocked

held_by_none()
{
    flock --nonblock "$folder/lock" true
}

cat >"$folder/spoilt.py" <<'END_OF_PYTHON'
import os, signal, sys
for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGALRM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
os.execvp(sys.argv[1], sys.argv[1:])
END_OF_PYTHON

exec 9>"$folder/lock"
flock 9
start "$folder/up" python3 "$folder/spoilt.py" apiary up
up=$last
exec 9>&-
until_true grep -q '1 of 1 checks passed' "$folder/up"
held_by_none || fail "a lock of the caller's lives on in $(fuser "$folder/lock" 2>/dev/null)"
expect 0 '^through a program$' apiary delegate text.copy 'through a program'
mapfile -t before < <(pgrep -P "$up")
queen=$(pgrep -P "$up" -f 'queen text_service')
kill -KILL "$queen"
until_true gone "$queen"
until_true apiary check text_service
kill -TERM "$up"
wait "$up" || fail "up with ignored signals left with $?: $(cat "$folder/up")"
for pid in "${before[@]}"; do gone "$pid" || fail "process $pid is left behind"; done

exec 9>"$folder/lock"
APIARY_KEEP_FDS=1,9 start "$folder/daemon" apiaryd
daemon=$last
until_true apiary status
[ -e "/proc/$daemon/fd/9" ] || fail 'a descriptor that is to be kept is closed'
kill -TERM "$daemon"
wait "$daemon"
exec 9>&-
for list in 4, ,4 4,,5 x 4x -1 99999999999999999999; do
    expect 64 "APIARY_KEEP_FDS is '$list'" env APIARY_KEEP_FDS="$list" apiaryd
    expect 64 "APIARY_KEEP_FDS is '$list'" env APIARY_KEEP_FDS="$list" apiary queen text_service
done
expect 64 "APIARY_SPIN is 'bogus'; it may be never, or unset" env APIARY_SPIN=bogus apiary status

# ---- which segment, and why

expect 2 "APIARY_SEGMENT is /elsewhere, but $config says segment: $APIARY_SEGMENT" env APIARY_SEGMENT=/elsewhere apiary queen text_service
expect 2 'APIARY_SEGMENT is /elsewhere, but' env APIARY_SEGMENT=/elsewhere apiaryd
expect 2 'APIARY_SEGMENT is /elsewhere, but' env APIARY_SEGMENT=/elsewhere apiary up --once
start "$folder/daemon" apiaryd
daemon=$last
until_true grep -qE 'created|took over' "$folder/daemon"
head -n 1 "$folder/daemon" | grep -q "segment $APIARY_SEGMENT, as APIARY_SEGMENT says" || fail "apiaryd began with: $(head -n 1 "$folder/daemon")"
for why in 'as --segment says' "as $config says"; do
    case $why in
    *--segment*) start "$folder/queen" apiary queen text_service --segment "$APIARY_SEGMENT" ;;
    *) start "$folder/queen" env -u APIARY_SEGMENT apiary queen text_service ;;
    esac
    queen=$last
    until_true grep -q registered "$folder/queen"
    head -n 1 "$folder/queen" | grep -q "segment $APIARY_SEGMENT, $why" || fail "a queen began with: $(head -n 1 "$folder/queen")"
    kill -TERM "$queen"
    wait "$queen"
done
kill -TERM "$daemon"
wait "$daemon"

# ---- a log that nobody reads

mkfifo "$folder/log"
exec 8<>"$folder/log"
dd if=/dev/zero of="$folder/log" bs=4096 oflag=nonblock status=none 2>/dev/null # until it is full
apiaryd 2>"$folder/log" >/dev/null </dev/null &
daemon=$!
until_true apiary status
apiary queen text_service 2>"$folder/log" >/dev/null </dev/null &
queen=$!
until_true apiary check text_service
expect 0 '^unread$' apiary delegate text.copy unread
kill -TERM "$queen" "$daemon"
wait "$queen" || fail "a queen whose log is not read left with $?"
wait "$daemon" || fail "a coordinator whose log is not read left with $?"
exec 8>&-

ends
