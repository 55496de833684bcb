#!/bin/bash
# Results that are kept for callers that were killed leave blocks of each size to the living, whoever keeps at once: the rest is not
# kept, and who fetches it is told so.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<CONFIG
meta_registry: {members: 32, lanes: 64, payload: {blocks_256KiB: 4, blocks_1MiB: 1}}
swarms:
  - service: echo_service
    workers: 2
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}
      - {name: again, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [again]}
CONFIG
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen echo_service --config "$config"
until_true apiary discover echo
until_true apiary discover again

dump() { "$APIARY_BIN/shmdump" "$APIARY_SEGMENT" --json | python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
class() { dump "*(c['$1'] for c in d['pool'] if c['size'] == 262144)"; }
none_promised() { [ "$(dump "sum(k['state'] == 'promised' for k in d['kept'])")" = 0 ]; }
head -c 70000 /dev/zero | tr '\0' x >"$folder/body"

# ---- eight kept results, of clients that are killed: two of the four blocks

for c in echo again; do
    start "$folder/$c" "$APIARY_TEST_BIN/cli_hold" $c 70000 kept
    clients+=("$last")
done
for c in echo again; do
    until_true grep -q '^holds [0-9]' "$folder/$c"
    grep -q '^holds 4' "$folder/$c" || fail "$c: it could not have four kept: $(grep '^holds' "$folder/$c")"
done
kill -KILL "${clients[@]}"
until_true none_promised
[ "$(class kept_most)" = 2 ] || fail "$(class kept_most) of four blocks may be kept"
n=$(class kept)
[ "$n" -ge 1 ] && [ "$n" -le 2 ] || fail "$n of four blocks are kept"
whole=() untold=0
for task in $(grep -hE '^[0-9a-f]+-' "$folder/echo" "$folder/again"); do
    if apiary kept fetch "$task" >"$folder/out" 2>"$folder/err"; then
        [ "$(wc -c <"$folder/out")" -eq 70000 ] || fail "$task: cut"
        whole+=("$task")
    elif ! grep -q 'not kept: .*hold their share' "$folder/err"; then
        untold=$((untold + 1))
        cat "$folder/err"
    fi
done
[ "${#whole[@]}" -eq "$n" ] || fail "${#whole[@]} results are whole, $n blocks are kept"
[ "$untold" -eq 0 ] || fail "$untold results are gone without a reason"
[ "$(apiary kept ls --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["not_kept"])')" -eq $((8 - n)) ] ||
    fail "it is counted otherwise: $(apiary kept ls --json)"

# ---- one after the other they are exact, and told to whoever waits

while [ "$(class kept)" -lt 2 ]; do
    task=$(apiary delegate echo "@$folder/body" --detach --keep 1h) || fail "refused"
    apiary kept fetch "$task" --wait 2m | cmp - "$folder/body" || fail "there was room to keep it"
    whole+=("$task")
done
task=$(apiary delegate echo "@$folder/body" --detach --keep 1h) || fail "refused"
expect 1 'not kept: .*kept ls' apiary kept fetch "$task" --wait 2m

# ---- the living are served, at once

for i in {1..10}; do apiary delegate echo "@$folder/body" | cmp - "$folder/body" || fail "a living client, $i"; done
expect 1 'WARNING: what is kept holds its share of the blocks of 256.0 KiB, 2 of 4: further results of that size are not kept' \
    apiary check

# ---- and what is forgotten makes room

expect 0 '' apiary kept forget "${whole[0]}"
expect 0 '' apiary kept forget "$task"
task=$(apiary delegate echo "@$folder/body" --detach --keep 1h) || fail "refused"
apiary kept fetch "$task" --wait 2m | cmp - "$folder/body" || fail "there is room again"
expect 0 '' "$APIARY_BIN/shmdump" "$APIARY_SEGMENT" --verify
[ "$failures" -eq 0 ]
