#!/bin/bash
# Every program has a manual page, mandoc finds no error in any, and each rule of the checkers has a name of its own.
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
twice=$(sed -nE 's/^\.It (\\&)?([A-Z][0-9]+)$/\2/p' shmdump.1 | sort | uniq -d)
if [ -n "$twice" ]; then
    echo "shmdump(1) has two rules of one name: $twice"
    failures=$((failures + 1))
fi
[ "$failures" -eq 0 ]
