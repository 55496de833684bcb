#!/bin/bash
# Services are restarted instance after instance under a load that never stops: no task fails, none is lost, none is run twice. A
# ledger outside the segment tells. An instance that does not come up leaves the old one in its place.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_load.sh" || exit 1

truncate -s 16M "$folder/ledger.one" "$folder/ledger.many"
cp /bin/cat "$folder/program"
put() { cp "$1" "$folder/new.so" && mv "$folder/new.so" "$folder/pair.so"; }
put "$APIARY_BUILD/examples/echo_agent.so"
ledger() { echo "{name: l, plugin: $plugins/ledger.so, capabilities: [$1], config: {file: $folder/ledger.$1, spin: 100000}}"; }
cat >"$config" <<END
meta_registry: {members: 64, lanes: 256, tasks: 512}
swarms:
  - service: single
    agents: [$(ledger one)]
  - service: several
    queen: {instances: 3}
    agents: [$(ledger many)]
  - service: program
    agents: [{name: p, kind: exec, capabilities: [program], config: {command: [$folder/program]}}]
  - service: pair
    queen: {instances: 2}
    agents: [{name: p, plugin: $folder/pair.so, capabilities: [pair]}]
END
apiary up --config "$config" >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m

# Not their states: one that has missed beats, on a machine that is busy, is the same process.
instances() # instances SERVICE: name and pid of each that lives.
{
    apiary status --json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["swarms"]:
    if s["service"] == sys.argv[1] and s["state"] != "down": print(s["instance"], s["pid"])' "$1"
}
passing() # passing SERVICE: how many
{
    apiary status --json | python3 -c '
import json, sys
print(sum(s["service"] == sys.argv[1] and s["state"] == "passing" for s in json.load(sys.stdin)["swarms"]))' "$1"
}
# all_new BEFORE AFTER: as many, and no process of before among them.
all_new()
{
    [ "$(wc -l <<<"$1")" -eq "$(wc -l <<<"$2")" ] && ! grep -qFxf <(awk '{print $2}' <<<"$1") <(awk '{print $2}' <<<"$2")
}

# ---- under load

load one one
load many many
for round in 1 2 3; do
    load_goes_on one
    before=$(instances single)
    expect 0 '^single/[01] has taken the place of single/[01]$' apiary restart single --rolling
    all_new "$before" "$(instances single)" || fail "round $round: not all of single are new: $before; $(instances single)"
    load_goes_on many
    before=$(instances several)
    expect 0 '^several/[0-5] has taken the place of several/[0-5]$' apiary restart several
    [ "$(wc -l <<<"$output")" -eq 3 ] || fail "round $round: $output"
    all_new "$before" "$(instances several)" || fail "round $round: not all of several are new: $before; $(instances several)"
done
# Two who ask at once are obeyed one after the other.
start "$folder/first" apiary restart several
first=$last
start "$folder/second" apiary restart several
second=$last
wait "$first" || fail "$(cat "$folder/first")"
wait "$second" || fail "$(cat "$folder/second")"
load_goes_on one many
load_ends one many
until_true apiary check
expect 0 'OK' apiary check --config "$config"
expect 0 'service restarted by an operator: single, revision 1' apiary events --service single
expect 0 . shmdump "$APIARY_SEGMENT" --verify

# ---- in place, where there is one and nothing else is said

before=$(instances single)
expect 0 '^single/[01] is started again$' apiary restart single
all_new "$before" "$(instances single)" || fail "single is not new: $before; $(instances single)"
[ "$(awk '{print $1}' <<<"$before")" = "$(instances single | awk '{print $1}')" ] || fail "it has another name: $before; $(instances single)"

# ---- one that does not come up

before=$(instances program)
mv "$folder/program" "$folder/away"
expect 1 "program/1 is down: ended with code 2.*; the old one stays" apiary restart program --rolling
[ "$before" = "$(instances program)" ] || fail "it has not stayed: $before; $(instances program)"
mv "$folder/away" "$folder/program"
expect 0 '"done"' apiary restart program --rolling --json
all_new "$before" "$(instances program)" || fail "program is not new: $(instances program)"
expect 4 "restart: its configuration has no service 'nobody'" apiary restart nobody
expect 64 'SERVICE.* is missing' apiary restart

# ---- a reload fails at the first of two; the second one ends and is started with the new text: it is restarted like the first

before=$(instances pair)
put "$plugins/abort_create.so"
sed -i 's/service: pair/&\n    version: 2.0/' "$config"
expect 1 'the old one stays' apiary reload
[ "$before" = "$(instances pair)" ] || fail "they have not stayed: $before; $(instances pair)"
put "$APIARY_BUILD/examples/echo_agent.so"
kill -KILL "$(awk 'NR == 2 {print $2}' <<<"$before")"
come_back() { now=$(instances pair); [ "$now" != "$before" ] && [ "$(wc -l <<<"$now")" = 2 ] && [ "$(passing pair)" = 2 ]; }
until_true come_back
before=$(instances pair)
expect 0 'has taken the place of' apiary restart pair
[ "$(wc -l <<<"$output")" -eq 2 ] && ! grep -q 'is started again' <<<"$output" || fail "not both were restarted: $output"
all_new "$before" "$(instances pair)" || fail "not all of pair are new: $before; $(instances pair)"

kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"
ends
