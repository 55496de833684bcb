#!/bin/bash
# An idle host of thirteen swarms, after a burst of 100,000 tasks: processor time over sixty seconds from the scheduler's own
# nanoseconds, summed over all threads of all its processes, and context switches.
# ctest: serial
# ctest: timeout 600
set -eu
segment=/apiary-idle-$$
. "$APIARY_SOURCE/tests/process/lib_leftovers.sh" || exit 1
clear_leftovers apiary-idle
"$APIARY_BIN/apiary" up -c "$APIARY_SOURCE/agents/singularity.yaml" --segment "$segment" >/tmp/apiary-idle-$$.log 2>&1 </dev/null &
up=$!
trap 'kill $up 2>/dev/null; wait $up 2>/dev/null || true; rm -f /tmp/apiary-idle-$$.log' EXIT
until "$APIARY_BIN/apiary" check --segment "$segment" >/dev/null 2>&1; do read -rt 0.2 <> <(:) || true; done
"$APIARY_TEST_BIN/burst" --segment "$segment" --capability "${IDLE_CAPABILITY:-cache_stats}" --count 100000 --window 16

pids() { echo "$up"; pgrep -P "$up"; }
sum() { # nanoseconds on a processor, and switches
    local ns=0 switches=0 a rest v
    for pid in $(pids); do
        for t in /proc/"$pid"/task/*; do
            read -r a rest <"$t/schedstat" && ns=$((ns + a))
            while read -r key v; do
                case $key in *ctxt_switches:) switches=$((switches + v)) ;; esac
            done <"$t/status"
        done
    done
    echo "$ns $switches"
}
seconds=${IDLE_SECONDS:-60}
read -rt 2 <> <(:) || true
set -- $(sum)
read -rt "$seconds" <> <(:) || true
set -- "$@" $(sum)
ns=$(($3 - $1)) switches=$(($4 - $2))
awk -v ns=$ns -v s="$seconds" -v w=$switches -v n="$(pids | wc -l)" 'BEGIN {
    printf "%d processes, %.4f %% of one core, %.1f context switches a second\n", n, ns / (s * 1e7), w / s
    exit !(ns / (s * 1e7) < 0.5) }'
