#!/bin/bash
# Instructions and cache lines of each step of a task's life (by valgrind, so without regard to the machine's mood) against
# guard.txt, with a tolerance of 3 % and at least 3 instructions, and of 4 % and at least 2 lines. A change that is meant is accepted by
#     perf/guard.sh --accept
# Exit 77: no valgrind, or no figures in guard.txt for this processor and compiler.
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
program=${APIARY_BIN:-$here/../build/release/bin}/apiary-perf
file=${APIARY_GUARD:-$here/guard.txt}
[ -x "$program" ] || {
    echo "$program is not there: build it first (cmake --preset release && cmake --build --preset release)"
    exit 1
}
command -v valgrind >/dev/null || {
    echo "valgrind is not installed"
    exit 77
}
# Figures belong to the code that a compiler made: of one processor family, compiler and kind of build.
key=$("$program" build) || exit 1
# $APIARY_COUNTS: a file to keep the counts in, or that has them.
if [ -n "${APIARY_COUNTS:-}" ] && [ -s "$APIARY_COUNTS" ]; then
    got=$(cat "$APIARY_COUNTS")
else
    got=$("$program" count) || exit $?
    [ -z "${APIARY_COUNTS:-}" ] || printf '%s\n' "$got" >"$APIARY_COUNTS"
fi

if [ "${1:-}" = --accept ]; then
    {
        grep -v "^$key " "$file" 2>/dev/null
        printf '%s\n' "$got" | sed "s|^|$key |"
    } >"$file.new" && mv "$file.new" "$file"
    echo "accepted in $file:"
    printf '%s\n' "$got"
    exit 0
fi

grep -q "^$key " "$file" || {
    echo "$file has no figures for $key; perf/guard.sh --accept adds them"
    exit 77
}
printf '%s\n' "$got" | awk -v key="$key" -v file="$file" '
function away(a, b) { return a > b ? a - b : b - a }
BEGIN {
    while ((getline line < file) > 0) {
        n = split(line, f, " ")
        if (n == 4 && f[1] == key) { instructions[f[2]] = f[3]; lines[f[2]] = f[4]; todo[f[2]] = 1 }
    }
}
{
    step = $1
    delete todo[step]
    if (!(step in instructions)) { print step ": not in " file; bad = 1; next }
    room = instructions[step] * 0.03
    if (room < 3) room = 3
    more = lines[step] * 0.04
    if (more < 2) more = 2
    wrong = away($2, instructions[step]) > room || away($3, lines[step]) > more
    printf "%-10s %8.1f instructions (%s accepted)  %6.1f lines (%s)%s\n", step, $2, instructions[step], $3, lines[step], wrong ? "  <-- changed" : ""
    if (wrong) bad = 1
}
END {
    for (step in todo) { print step ": accepted figures, but it was not counted"; bad = 1 }
    if (bad) print "if this is meant: perf/guard.sh --accept"
    exit bad
}'
