#!/bin/bash
# Erlang nodes: the tests of agents/elixir, in one node, beside a service in C.
# ctest: first
. "$APIARY_SOURCE/tests/process/lib_elixir.sh" || exit 1

started
cd "$APIARY_SOURCE/agents/elixir" || exit 1
mix test --no-compile --no-color >"$folder/mix.out" 2>&1 || fail "mix test: $(cat "$folder/mix.out")"
grep -qE '^[0-9]+ tests, 0 failures' "$folder/mix.out" || fail "mix test did not run: $(cat "$folder/mix.out")"

# The node has left nothing behind, nor has the segment a fault.
no_tasks() { ! apiary task ls | grep -q '^[0-9]'; }
until_true no_tasks
expect 0 . shmdump "$APIARY_SEGMENT" --verify
kill "$up"
wait "$up"
ends
