#!/bin/bash
# The table of a task's states in shm/task.h is the one that shm/states.def makes (states.sh --write writes it there), each of its rows
# has a place in the code (AP_WAY), and no task word is stored where none is named.
set -u
cd "${APIARY_SOURCE:-.}" || exit 1
failures=0

fail()
{
    echo "$*"
    failures=$((failures + 1))
}

rows=$(cpp -P '-DAP_ACTOR(name,text)=@actor name text' '-DAP_TRANSITION(from,to,how,by,text)=@way from to how by text' shm/states.def |
    grep -oE '@(actor|way) [^@]+')
[ "$(grep -c '^@way' <<<"$rows")" -gt 10 ] || fail "no table was made of shm/states.def"
table=$(awk '
    function quoted(line) { sub(/^[^"]*"/, "", line); sub(/"[^"]*$/, "", line); return line }
    BEGIN { printf " *           %-10s %-10s %-6s %-22s %s\n", "from", "to", "how", "by", "with it" }
    $1 == "@actor" { actor[$2] = quoted($0) }
    $1 == "@way" {
        line = sprintf(" *           %-10s %-10s %-6s %-22s %s", $2, $3, $4, actor[$5], quoted($0))
        sub(/ +$/, "", line)
        print line
    }' <<<"$rows")
begin=$(printf '%s\n' "$table" | head -1)
if [ "${1:-}" = --write ]; then
    awk -v table="$table" '
        / \* STATES / { within = 1 }
        / \* REQUEST / { within = skip = 0 }
        within && / \*           (from +to +how|\(table\))/ { print table; skip = 1 }
        !skip { print }' shm/task.h >shm/task.h.new && mv shm/task.h.new shm/task.h
fi
there=$(awk -v begin="$begin" '$0 == begin { on = 1 } / \* REQUEST / { on = 0 } on { print }' shm/task.h)
[ "$there" = "$table" ] || { fail "the table in shm/task.h is not that of shm/states.def: tests/states.sh --write"; diff <(echo "$there") <(echo "$table"); }

while read -r _ from to how by _; do
    grep -qF "AP_WAY($from, $to, $how, $by, " shm/task.c shm/task.h || fail "no place in shm/ makes $from -> $to by $how as $by"
done < <(grep '^@way' <<<"$rows")

# Each function that stores a task word names its ways, and how.
while read -r file function what; do
    fail "$file: $function stores a task word by $what, and names no such way"
done < <(awk '
    /^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    /^\{/ { inside = 1; ways = ""; cas = store = 0 }
    inside && /AP_WAY\(/ { ways = ways $0 }
    inside && /ap_cas\(&(slot|ap_slot_at\(.*\))->word,/ { cas = 1 }
    inside && /ap_(store|exchange)_[a-z_]+\(&(slot|ap_slot_at\(.*\))->word,/ { store = 1 }
    /^\}/ {
        if (inside && cas && ways !~ /, CAS, /) print FILENAME, name, "CAS"
        if (inside && store && ways !~ /, STORE, /) print FILENAME, name, "STORE"
        inside = 0
    }' shm/*.[ch] registry/*.[ch] registry/*/*.[ch] agents/runtime/*.[ch])
[ "$failures" -eq 0 ]
