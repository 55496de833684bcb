#!/bin/bash
# ctest: timeout 1800
# ctest: first
# Every operation is stepped through; of the images and preemptions of the longer ones a part is judged, chosen by the seed in
# the first line: "sweep -x SEED -s EVERY" repeats it. Then two preemptions, and one real kill of each. All of it: full.sweep.
# What failed is repeated at the end: a log that is cut keeps its end.
set -u
said=$(mktemp) || exit 1
trap 'rm -f "$said"' EXIT
result=0

sweep() # sweep OPTION...
{
    "$APIARY_TEST_BIN/sweep" "$@" ${SWEEP_SEED:+-x "$SWEEP_SEED"} 2>&1 | tee -a "$said"
    case ${PIPESTATUS[0]} in
    0) ;;
    77) exit 77 ;;
    *) result=1 ;;
    esac
}

sweep -s 8
sweep -2 1 -s 8
sweep -r -q -n 1
[ "$result" -eq 0 ] || grep -E '^seed |FAILED| [1-9][0-9]* failures' "$said"
exit "$result"
