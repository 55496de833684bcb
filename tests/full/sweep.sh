#!/bin/bash
# ctest: timeout 3600
# Every image of every operation, every preemption of every pair; each of these with twenty second preemptions; and real kills, whose
# images must be those of the sweep.
set -eu
"$APIARY_TEST_BIN/sweep" -v || exit
"$APIARY_TEST_BIN/sweep" -2 "${SWEEP_AGAIN:-20}" ${SWEEP_SEED:+-x "$SWEEP_SEED"} || exit
"$APIARY_TEST_BIN/sweep" -r -q -n "${SWEEP_KILLS:-60}"
