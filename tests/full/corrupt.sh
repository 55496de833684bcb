#!/bin/bash
# ctest: timeout 1800
# Ten thousand corruptions; and as many of a copy of a segment that was copied while its owner was alive and is dead by now.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$APIARY_TEST_BIN/corrupt" --count 10000 --seed 2
"$APIARY_TEST_BIN/corrupt" --count 10000 --seed 2 --wild
"$APIARY_TEST_BIN/corrupt" --write "$work/copy"
"$APIARY_TEST_BIN/corrupt" --count 10000 --seed 3 "$work/copy"
