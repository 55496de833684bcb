#!/bin/bash
# tests/ORDERINGS.md has a row for each label of an ordering in the code, no row without a label, and names tests that exist.
set -u
cd "$APIARY_SOURCE" || exit 1
rows=tests/ORDERINGS.md
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

labels=$(grep -rohE '\b[A-Z]+-[RAF][0-9]+\b' core shm registry agents --include='*.c' --include='*.h' | sort -u)
[ "$(wc -l <<<"$labels")" -gt 40 ] || fail "only $(wc -l <<<"$labels") labels were found"
for label in $labels; do
    case $label in
    LOOK-A*) row=$label ;;
    *-A*) row=${label%-A*}-R${label##*-A} ;; # an acquire stands in the row of what it pairs
    *) row=$label ;;
    esac
    grep -qE "^\| $row \|.*\b$label\b|^\| $label \|" "$rows" || grep -qE "^\| $row \|" "$rows" || fail "$rows: no row for $label"
done
while IFS= read -r label; do
    grep -qx "$label" <<<"$labels" || fail "$rows: $label is nowhere in the code"
done < <(sed -nE 's/^\| ([A-Z]+-[RAF][0-9]+) \|.*/\1/p' "$rows")
while IFS= read -r test; do
    case $test in
    unit.*) [ -f "tests/unit/test_${test#unit.}.c" ] || fail "$rows: there is no $test" ;;
    crash.*) grep -qE "\.name = \"${test#crash.}\"" tests/crash/*.c || fail "$rows: there is no $test" ;;
    esac
done < <(grep -oE '\b(unit|crash)\.[a-z_]+' "$rows" | sort -u)
[ "$failures" -eq 0 ]
