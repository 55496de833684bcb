#!/bin/bash
# A node of more schedulers than there are processors, in which much goes on at once at random: no result is another's, and what the
# processes had that have ended is given back while the node lives.
. "$APIARY_SOURCE/tests/process/lib_elixir.sh" || exit 1

started
export ELIXIR_ERL_OPTIONS="+S 8:8"
node "$folder/many.out" "$APIARY_SOURCE/tests/process/elixir_many.exs" 400
many=$last
said() { grep -q '^done$' "$folder/many.out" || gone "$many"; }
until_true said
gone "$many" && fail "$(cat "$folder/many.out")"
no_tasks() { ! apiary task ls | grep -q '^[0-9]'; }
until_true no_tasks
no_claims() { ! apiary claim ls | grep -q '^many'; }
until_true no_claims
expect 0 . shmdump "$APIARY_SEGMENT" --verify
kill -KILL "$many"
wait "$many" 2>/dev/null
kill "$up"
wait "$up"
ends
