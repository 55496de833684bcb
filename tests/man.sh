#!/bin/bash
# Every program has a manual page, and mandoc finds no error in any.
set -u
command -v mandoc >/dev/null || exit 77
cd "$APIARY_BUILD/man" || exit 1
failures=0
for page in *.[1-8]; do
    mandoc -T lint -W error "$page" || failures=$((failures + 1))
done
for program in apiary apiaryd shmdump; do
    if [ ! -f "$program.1" ] && [ ! -f "$program.8" ]; then
        echo "no manual page of $program"
        failures=$((failures + 1))
    fi
done
[ "$failures" -eq 0 ]
