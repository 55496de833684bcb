#!/bin/bash
# A million tasks one after another, both sides awake: system calls of all threads of both processes, counted by the kernel's
# tracepoint (perf) while they run, or by strace, which slows each call so much that the other side then parks, too. The median of
# five bursts is judged: whoever else wants a processor for a moment puts one side off it, and then the other parks.
# ctest: serial
# ctest: timeout 900
set -eu
[ "$(nproc)" -ge 2 ] || { echo "skipped: both sides awake need two processors"; exit 77; }
dir=$(mktemp -d)
segment=/apiary-calls-$$
. "$APIARY_SOURCE/tests/process/lib_leftovers.sh" || exit 1
clear_leftovers apiary-calls
jobs_end() { for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done; wait || true; rm -rf "$dir" /dev/shm$segment; }
trap jobs_end EXIT
turn() { read -rt 0.05 <> <(:) || true; } # waits for a condition look again this often
if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then with=perf
elif command -v strace >/dev/null; then with=strace
else echo "skipped: neither perf with tracepoints nor strace"; exit 77
fi
cat >"$dir/c.yaml" <<END
meta_registry: {segment: $segment}
swarms:
  - service: echo
    agents: [{name: echo, plugin: $APIARY_PLUGINS/ledger.so, capabilities: [echo]}]
END
"$APIARY_BIN/apiaryd" -c "$dir/c.yaml" 2>"$dir/log" &
until [ -e /dev/shm$segment ]; do turn; done
"$APIARY_BIN/apiary" queen echo -c "$dir/c.yaml" 2>>"$dir/log" & queen=$!
until "$APIARY_BIN/apiary" check echo --segment "$segment" >/dev/null 2>&1; do turn; done

count=${CALLS_COUNT:-1000000}
stopped() { grep -q "^State:.*T (stopped)\|^State:.*t (tracing" "/proc/$1/status"; }
count_calls() { # PROCESS FILE, until interrupted
    if [ $with = perf ]; then exec perf stat -x, -e raw_syscalls:sys_enter -o "$2" -p "$1" 2>/dev/null
    else exec strace -f -qq -c -o "$2" -p "$1" 2>/dev/null
    fi
}
total() {
    if [ $with = perf ]; then awk -F, '/sys_enter/ { print $1 }' "$1"
    else awk '$NF == "total" { print $4 }' "$1"
    fi
}
for run in 1 2 3 4 5; do
    "$APIARY_TEST_BIN/burst" --segment "$segment" --capability echo --count "$count" --stops >"$dir/burst" & client=$!
    until stopped $client; do turn; done
    count_calls "$queen" "$dir/queen" & first=$!
    count_calls $client "$dir/client" & second=$!
    for i in 1 2 3 4 5 6 7 8; do turn; done # no condition tells that a counter has begun; too late only counts less than all
    kill -CONT $client
    # Seldom: looking takes a processor, and that is what is counted then.
    until read -rt 1 <> <(:) || stopped $client; do :; done
    kill -INT $first $second
    wait $first $second || true
    kill -CONT $client
    wait $client
    echo "$(($(total "$dir/queen") + $(total "$dir/client"))) calls (queen $(total "$dir/queen"), client $(total "$dir/client")); $(cat "$dir/burst")" |
        tee -a "$dir/runs"
done
sort -n "$dir/runs" | awk -v n="$count" -v with=$with 'NR == 3 {
    printf "median %.3f calls per 10,000 tasks, counted by %s\n", $1 * 10000 / n, with; exit !($1 * 10000 / n < 1) }'
