#!/bin/bash
# A new Elixir service as the README has it, typed as it stands: from `mix new` to an answer, with no more than thirty lines written.
. "$APIARY_SOURCE/tests/process/lib_elixir.sh" || exit 1
unset MIX_BUILD_PATH MIX_ENV APIARY_NIF # mix compiles all of it, as for a user

block() # block LANGUAGE NUMBER: the text of the README's n-th block of that language
{
    awk -v head="\`\`\`$1" -v want="$2" '$0 == head { on = ++n == want; next } /^```$/ { on = 0 } on' "$APIARY_SOURCE/README.md"
}

printf 'meta_registry: {segment: %s}\nswarms: []\n' "$APIARY_SEGMENT" >"$config"
start "$folder/apiaryd.out" apiaryd --config "$config"
until_true apiary status
mkdir -p "$folder/tree/agents"
cp -r "$APIARY_SOURCE/agents/elixir" "$folder/tree/agents/elixir"
rm -rf "$folder/tree/agents/elixir/_build"
ln -s "$APIARY_SOURCE/core" "$folder/tree/core"
cd "$folder/tree" || exit 1
block shell 1 >"$folder/first"
block shell 2 >"$folder/second"
block elixir 1 >"$folder/greeter.ex"
lines=$(cat "$folder/first" "$folder/second" "$folder/greeter.ex" | wc -l)
if [ "$lines" -lt 10 ] || [ "$lines" -gt 30 ]; then fail "a first service has $lines lines"; fi
. "$folder/first" >"$folder/new.out" 2>&1 || fail "$(cat "$folder/new.out")"
cp "$folder/greeter.ex" lib/greeter.ex
. <(sed '$d' "$folder/second") >"$folder/run.out" 2>&1
last=$(tail -n 1 "$folder/second")
[ "$(eval "$last")" = "${last##*prints: }" ] || fail "'$last' says '$(eval "$last")'; $(cat "$folder/run.out")"
ends
