#!/bin/bash
# ctest: timeout 600
# Every operation is stepped through; of the images and preemptions of the longer ones a part is judged, chosen by the seed in
# the first line: "sweep -x SEED -s EVERY" repeats it. Then two preemptions, and one real kill of each. All of it: full.sweep.
set -eu
"$APIARY_TEST_BIN/sweep" -s 4 ${SWEEP_SEED:+-x "$SWEEP_SEED"} || exit
"$APIARY_TEST_BIN/sweep" -2 1 -s 4 ${SWEEP_SEED:+-x "$SWEEP_SEED"} || exit
"$APIARY_TEST_BIN/sweep" -r -q -n 1 ${SWEEP_SEED:+-x "$SWEEP_SEED"}
