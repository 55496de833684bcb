#!/bin/bash
# Idle callers hold all inlets of an agent. Of those who meet in its shared ring none is refused because another one floods, none
# waits for more than its turn, and of many that ask for the same each gets about as much. A queen that is killed meanwhile changes
# nothing of it.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 128, lanes: 192, tasks: 16384, queue_inlets: 15}
swarms:
  - service: tick_service
    agents: [{name: ticker, plugin: $APIARY_PLUGINS/ticker.so, capabilities: [tick]}]
END
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
queen()
{
    start "$folder/queen" apiary queen tick_service --config "$config"
    queen=$last
    until_true apiary discover tick
}
queen

# ended FILE: what the helper has said at its end, without commas, is in $words
ended()
{
    wait "$last" || fail "inlets: $(cat "$1")"
    read -ra words < <(tail -n 1 "$1" | tr -d ,)
}
start "$folder/polite" "$APIARY_TEST_BIN/inlets" polite
ended "$folder/polite"
refused=${words[1]} before=${words[4]}
{ [ "$refused" -eq 0 ] && [ "$before" -le 16 ]; } || fail "beside one that floods: $(cat "$folder/polite")"

start "$folder/many" "$APIARY_TEST_BIN/inlets" many
ended "$folder/many"
least=${words[1]} most=${words[3]}
{ [ "$least" -ge 10 ] && [ "$most" -le 160 ]; } || fail "of many: $(cat "$folder/many")"

start "$folder/polite" "$APIARY_TEST_BIN/inlets" polite
polite=$last
until_true grep -q flooded "$folder/polite"
kill -KILL "$queen"
until_true gone "$queen"
queen
last=$polite
ended "$folder/polite"
[ "${words[1]}" -eq 0 ] || fail "with a queen that was killed: $(cat "$folder/polite")"
ends
