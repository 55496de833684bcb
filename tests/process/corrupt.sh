#!/bin/bash
# Corruptions of a segment, one at a time: shmdump neither crashes nor hangs, and names what broke an invariant.
# ctest: address
set -eu
"$APIARY_TEST_BIN/corrupt" --count 1000 --seed 1
"$APIARY_TEST_BIN/corrupt" --count 300 --seed 1 --wild
