# Sourced by the cli_*.sh: a segment and a folder of their own, always removed, and what they all say.
set -u
name=$(basename "$0" .sh)
export APIARY_SEGMENT=/apiary-test-$name-$$
unset APIARY_CONFIG NOTIFY_SOCKET
export PATH="$APIARY_BIN:$PATH"
[ -x "$APIARY_BIN/apiary" ] && [ -x "$APIARY_BIN/apiaryd" ] || exit 1
command -v python3 >/dev/null || { echo 'python3 is missing; it reads the JSON here'; exit 1; }
folder=$(mktemp -d) || exit 1
export config=$folder/config.yaml XDG_STATE_HOME=$folder/state
unset STATE_DIRECTORY
failures=0

. "$APIARY_SOURCE/tests/process/lib_leftovers.sh" || exit 1
clear_leftovers "apiary-test-$name"

cleanup()
{
    local pid f
    for pid in $(jobs -p); do kill -KILL "$pid" 2>/dev/null; done
    end_of "$APIARY_SEGMENT"
    wait 2>/dev/null
    for f in /dev/shm/"${APIARY_SEGMENT#/}"*; do
        [ -e "$f" ] && rm -f "$f"
    done
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect CODE PATTERN COMMAND...: runs it; its exit code, and an extended regular expression for all that it prints.
expect()
{
    local code=$1 pattern=$2 got
    shift 2
    output=$("$@" 2>&1)
    got=$?
    [ "$got" -eq "$code" ] || fail "'$*' exited $got, not $code; it printed: $output"
    grep -qE -- "$pattern" <<<"$output" || fail "'$*' printed nothing like '$pattern' but: $output"
}

# start FILE COMMAND...: in the background, its output in FILE; the pid is in $last.
start()
{
    local out=$1
    shift
    : >"$out" # here, not in the background: the caller looks into it at once, and must not see what another run said
    "$@" >"$out" 2>&1 </dev/null &
    last=$!
}

# turn: a pause between two looks at what is waited for, which leaves the processor to whom it depends on. Nobody writes to the pipe.
mkfifo "$folder/.turn" || exit 1
turn()
{
    read -rt 0.03 <>"$folder/.turn" || true
}

# until_true COMMAND...: asks again and again; ctest's timeout ends what never comes, and then it has been said what that was.
until_true()
{
    local began=$SECONDS
    until "$@" >/dev/null 2>&1; do
        turn
        ((began >= 0 && SECONDS - began >= 60)) || continue
        echo "line ${BASH_LINENO[0]}: for a minute now: until_true $*"
        apiary status
        began=-1
    done
}

# stop PID...: the signal is sent at once, and each thread stops at its own next step: one that runs may take a task meanwhile.
stop()
{
    local pid
    kill -STOP "$@"
    for pid in "$@"; do
        until ! grep -hs '^State:' /proc/"$pid"/task/*/status | grep -qv '(stopped)'; do :; done
    done
}

# killed_within COMMAND...: it is killed some turns after it has begun, anywhere in what it does. False: it had ended before.
killed_within()
{
    local pid name='' turns
    "$@" >/dev/null 2>&1 </dev/null &
    pid=$!
    until [ "$name" = "${1##*/}" ] || gone "$pid"; do read -r name <"/proc/$pid/comm"; done 2>/dev/null
    for ((turns = RANDOM % 2000; turns > 0; turns--)); do :; done
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    [ $? -eq 137 ]
}

gone()
{
    ! kill -0 "$1" 2>/dev/null
}

ends()
{
    [ "$failures" -eq 0 ] || echo "$failures failures"
    [ "$failures" -eq 0 ]
    exit
}
