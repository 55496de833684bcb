#!/bin/bash
# The thirteen services as Elixir queens in two nodes, beside one in C, under load: one node is killed in the middle of it. Its tasks go
# on in the other one, each has one result, and nothing is left. A handler that loops, raises or is killed hurts nobody.
. "$APIARY_SOURCE/tests/process/lib_elixir.sh" || exit 1

started
here=$APIARY_SOURCE/tests/process
all_of() { grep -q "^all of $1" "$folder/$1.out"; }
node "$folder/a.out" "$here/elixir_services.exs" a
a=$last
node "$folder/b.out" "$here/elixir_services.exs" b
b=$last
until_true all_of a
until_true all_of b
[ "$(apiary services --json | grep -o '"[a-z]*_service"' | sort -u | wc -l)" -ge 14 ] || fail "$(apiary services)"

# One node asks all of them, 2,000 tasks at two callers; the other thirteen queens go on when their like are killed.
count=1000 callers=2
node "$folder/load.out" "$here/elixir_load.exs" "$count" "$callers"
load=$last
until_true grep -q '^half' "$folder/load.out"
kill -KILL "$a"
wait "$a" 2>/dev/null
wait "$load" || fail "the load: $(cat "$folder/load.out")"
grep -q "^$((count * callers)) asked, $((count * callers)) done" "$folder/load.out" || fail "not all are done: $(cat "$folder/load.out")"

# C asks Elixir: what fails has failed with its reason, and the node serves on.
term() { printf '\203w%b%s' "\\$(printf %03o ${#1})" "$1"; } # an atom in the external term format
expect 1 'as it was told to' sh -c 'apiary delegate ai.work "$1"' sh "$(term raise)"
expect 1 'killed' sh -c 'apiary delegate ai.work "$1"' sh "$(term kill)"
expect 1 'took too long' sh -c 'apiary delegate ai.work "$1" --start-to-close 100ms' sh "$(term loop)"
gone "$b" && fail "the node has ended: $(cat "$folder/b.out")"

# Each of the services has lost its instance a, and has b; what b began it has finished.
said() { [ "$(apiary status | grep -cE "$1")" -eq 13 ]; }
until_true said '^[a-z]+_service +a +down '
until_true said '^[a-z]+_service +b +(passing|warning) '
no_tasks() { ! apiary task ls | grep -q '^[0-9]'; }
until_true no_tasks
expect 0 . shmdump "$APIARY_SEGMENT" --verify

# A node that is told to stop has its queens leave.
kill -TERM "$b"
wait "$b" 2>/dev/null
said '_service/b: it was told to stop, and left' || fail "$(apiary status)"
kill "$up"
wait "$up"
ends
