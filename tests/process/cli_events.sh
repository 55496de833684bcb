#!/bin/bash
# What has changed or was repaired is told from the segment, whoever has died meanwhile; it is named, chosen from, and followed.
# Clients and commands that come and go leave no event, so that they cannot push out what matters.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

expect 3 'no such segment' apiary events
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, events: 64}
swarms:
  - service: first
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo.text]}]
  - service: second
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [other.text]}]
END
start "$folder/daemon" apiaryd --config "$config"
until_true grep -q created "$folder/daemon"
start "$folder/follower" apiary events --follow --service first
follower=$last
start "$folder/json_follower" apiary events --follow --json --kind swarm-died
start "$folder/second" apiary queen second -c "$config"
start "$folder/first" apiary queen first -c "$config"
first=$last
until_true apiary wait --all -c "$config" --timeout 1s
expect 0 'T[0-9:]+Z  swarm registered: first/0, member ' apiary events
expect 0 'daemon joined: member ' apiary events --kind member-joined

expect 0 '' apiary drain first --reason cleaning
expect 0 'mode set by an operator: first/0, drain, by user [0-9]+, pid [0-9]+: cleaning$' apiary events --kind swarm-mode
expect 0 '' apiary resume first
expect 0 '' apiary weight first 50
expect 0 "weight set by an operator: first/0, weight 50, by user [0-9]+, pid [0-9]+\$" apiary events --service first --last 1
kill -KILL "$first"
wait "$first" 2>/dev/null
until_true grep -q 'queen died: first/0' "$folder/follower"
until_true grep -q '"swarm-died"' "$folder/json_follower"
grep -q second "$folder/follower" && fail "the follower of one service tells of another: $(cat "$folder/follower")"
grep -q 'registered: first/0' "$folder/follower" || fail "what came while it was followed is missing: $(cat "$folder/follower")"
expect 0 'queen died: first/0' apiary events --kind swarm-died --since 1h
expect 0 '^$' apiary events --kind swarm-died --since 2999-01-01T00:00:00Z
expect 0 'queen died: first/0' apiary events --kind swarm-died --since 2001-01-01T00:00:00Z
apiary events --json >"$folder/json" || fail 'as JSON'
python3 - "$folder/json" <<'PYTHON' || fail "the JSON: $(cat "$folder/json")"
import json, sys
j = json.load(open(sys.argv[1]))
died = [e for e in j["events"] if e["kind"] == "swarm-died"]
assert len(died) == 1 and died[0]["service"] == "first" and died[0]["names"]["swarm"] == "first/0" and "lane" in died[0]["of"] and died[0]["time"].endswith("Z"), died
numbers = [e["number"] for e in j["events"]]
assert numbers == sorted(numbers) and j["overwritten"] == 0 and j["room"] == 64, j
PYTHON

# More commands and clients than the log has rows.
before=$(apiary events --json | grep -c '"number"')
for i in $(seq 40); do apiary delegate other.text "$i" >/dev/null || fail "delegate $i"; done
[ "$(apiary events --json | grep -c '"number"')" -eq "$before" ] || fail "commands have left events: $(apiary events)"
expect 0 'queen died: first/0' apiary events

# What was overwritten is counted.
for i in $(seq 20); do
    apiary drain second >/dev/null && apiary resume second >/dev/null && apiary weight second "$i" >/dev/null || fail "round $i"
done
python3 -c 'import json, sys; j = json.load(sys.stdin); assert j["overwritten"] > 0 and len(j["events"]) <= 64, j' \
    < <(apiary events --json --state "$folder/none" 2>"$folder/only") || fail 'nothing was overwritten'
grep -q "only the segment's log was read, which goes back to [0-9]" "$folder/only" || fail "what was read: $(cat "$folder/only")"
[ "$(apiary events --last 3 | wc -l)" -eq 3 ] || fail "the last three: $(apiary events --last 3)"
[ "$(apiary events --last 0 | wc -l)" -eq 0 ] || fail "the last none: $(apiary events --last 0)"

expect 64 "'fly' is not a kind of event; there are member-joined, " apiary events --kind fly
expect 64 "'soon' is neither a span" apiary events --since soon
expect 64 "'x' is not a number" apiary events --last x
apiary events >/dev/full 2>"$folder/full"
[ $? -eq 1 ] && grep -q 'standard output' "$folder/full" || fail "standard output is full: $(cat "$folder/full")"

expect 0 '' apiary segment rm -f "$APIARY_SEGMENT"
until_true gone "$follower"
expect 3 'no such segment' apiary events --state "$folder/none"
wait "$follower"
[ $? -eq 3 ] && grep -q 'was removed' "$folder/follower" || fail "the follower of a removed segment: $(cat "$folder/follower")"
ends
