#!/bin/bash
# What a step of a task's life costs, in instructions and cache lines, is what was accepted in perf/guard.txt; and the guard sees a
# change. See perf/guard.sh.
# ctest: not thread
# ctest: not address
set -u
guard=$APIARY_SOURCE/perf/guard.sh
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

export APIARY_COUNTS=$folder/counts # counted once
"$guard"
code=$?
[ $code -eq 0 ] || exit $code

# A figure that is ten per cent off is refused.
awk '{ if ($2 == "submit") $3 = $3 * 1.1; print }' "$APIARY_SOURCE/perf/guard.txt" >"$folder/guard.txt"
if APIARY_GUARD=$folder/guard.txt "$guard" >"$folder/out"; then
    echo "a change of ten per cent was not seen"
    cat "$folder/out"
    exit 1
fi
grep -q '^submit .*changed' "$folder/out"
