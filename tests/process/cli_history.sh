#!/bin/bash
# What happened last night: apiaryd keeps the events of the segment, each once, with the names of then, whoever is killed and when; they
# outlive the segment. What cannot be kept is told, and everything else goes on.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
state=$folder/state/apiary/${APIARY_SEGMENT#/}

cat >"$config" <<END_CONFIG
meta_registry: {members: 32, lanes: 64, events: 64}
swarms:
  - service: first
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo.text]}]
END_CONFIG

# judge MOST-LOST: no event is told twice, none is missing, and so many are told as lost at most, which $lost has. A record may be
# being written, and one that a killed writer has begun is a hole, which the database has: so what is missing is looked for again.
judge()
{
    local tries
    for ((tries = 0; tries < 500; tries++)); do
        apiary events --json >"$folder/json" || fail 'events --json'
        lost=$(judge_once "$1" 2>"$folder/judged") && return
        grep -q missing "$folder/judged" || break
        turn
    done
    lost=0
    fail "judged: $(tail -n 1 "$folder/judged"); $(tail -c 2000 "$folder/json")"
}
judge_once()
{
    python3 - "$folder/json" "$1" "$state/events.db" <<'PYTHON'
import json, sqlite3, sys
j = json.load(open(sys.argv[1]))
holes = {n for (n,) in sqlite3.connect(sys.argv[3]).execute("SELECT number FROM hole")}
numbers, lost = [], 0
for e in j["events"]:
    count = e["of"]["events"] if e["kind"] == "events-lost" else 1
    lost += count if e["kind"] == "events-lost" else 0
    numbers += range(e["number"], e["number"] + count)
assert j["kept_in"], "kept nowhere"
assert len(numbers) == len(set(numbers)), "some are doubled: %s" % sorted(n for n in set(numbers) if numbers.count(n) > 1)
assert lost <= int(sys.argv[2]), "%d are lost" % lost
missing = set(range(1, max(numbers) + 1)) - set(numbers) - holes
assert not missing, "some are missing: %s" % sorted(missing)
print(lost)
PYTHON
}
folder_is() # folder_is TARGET: by one rename: were nothing there for a moment, the daemon would make it
{
    ln -s "$1" "$state.new"
    mv -T "$state.new" "$state"
}
daemon_start()
{
    start "$folder/daemon" apiaryd --config "$config"
    daemon=$last
    until_true grep -q 'created\|took over' "$folder/daemon"
}
kept() # kept PATTERN: in the database, whoever lives
{
    sqlite3 -readonly "$state/events.db" 'SELECT text FROM event' 2>/dev/null | grep -qE -- "$1"
}
command -v sqlite3 >/dev/null ||
    kept() { python3 -c 'import sqlite3, sys
for (text,) in sqlite3.connect(sys.argv[1]).execute("SELECT text FROM event"): print(text)' "$state/events.db" 2>/dev/null | grep -qE -- "$1"; }

daemon_start
start "$folder/first" apiary queen first -c "$config"
queen=$last
until_true apiary wait first --timeout 1s
expect 0 '' apiary drain first --reason 'a new disk'
until_true kept "mode set by an operator: first/0, drain, by user $(id -u), pid [0-9]+: a new disk"
expect 0 '' apiary resume first
expect 0 'first/0, drain, by user [0-9]+, pid [0-9]+: a new disk$' apiary events --kind swarm-mode --service first
expect 0 '"said": "a new disk"' apiary events --json --kind swarm-mode

# Killed again and again while events come: none is doubled, none that the log still had is missing.
(
    i=0
    until [ -e "$folder/enough" ]; do
        i=$((i % 900 + 1))
        apiary weight first "$i" >/dev/null || exit 1
    done
) &
writer=$!
for round in 1 2 3 4 5 6; do
    for ((i = 0; i < round; i++)); do turn; done
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null
    daemon_start
done
touch "$folder/enough"
wait "$writer" || fail 'the writer of events'
expect 0 '' apiary weight first 999
until_true kept 'first/0, weight 999'
judge 1000000
before=$lost

# Nobody kept them for a while, but the log has them all: none is lost.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
for ((i = 901; i <= 930; i++)); do apiary weight first "$i" >/dev/null || fail "weight $i"; done
daemon_start
until_true kept 'first/0, weight 930'
judge "$before"
for ((i = 901; i <= 930; i++)); do kept "first/0, weight $i" || fail "weight $i is not kept"; done

# Overwritten while nobody kept them: one entry says how many.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
for ((i = 931; i <= 998; i++)); do apiary weight first "$i" >/dev/null || fail "weight $i"; done
expect 0 'events were overwritten before they were kept' apiary events --last 1
daemon_start
until_true kept 'first/0, weight 998'
until_true kept 'events lost: overwritten before anybody kept them'
judge $((before + 80))
[ "$lost" -gt "$before" ] || fail "$lost are lost, as before"
before=$lost
expect 0 '"events": [0-9]+' apiary events --json --kind events-lost

# Nothing can be written there: told once for each reason, and the daemon works; then it catches up.
kill -TERM "$daemon"
wait "$daemon" || fail "the daemon ended with $?"
mv "$state" "$state.away"
: >"$state.none"
folder_is "$state.none"
daemon_start
until_true grep -q 'events are not kept: cannot' "$folder/daemon"
[ "$(grep -c 'are not kept' "$folder/daemon")" -eq 1 ] || fail "told more than once: $(cat "$folder/daemon")"
folder_is /dev/null/none
until_true grep -q 'events are not kept: cannot.*Not a directory' "$folder/daemon"
expect 0 '' apiary weight first 77
expect 0 'no apiaryd has kept events in' apiary events --last 1
expect 0 '' apiary delegate echo.text x --timeout 5m
folder_is "$state.away"
until_true grep -q 'events are kept again' "$folder/daemon"
until_true kept 'first/0, weight 77'
[ "$(grep -c 'are not kept' "$folder/daemon")" -eq 2 ] || fail "each reason is not told once: $(cat "$folder/daemon")"
judge "$before"

# The death of a queen, told when all is gone: also the segment, and the coordinator with it.
kill -KILL "$queen"
wait "$queen" 2>/dev/null
until_true kept "queen died: first/0"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
expect 0 '' apiary segment rm -f "$APIARY_SEGMENT"
expect 0 'no such segment; what is kept is told' apiary events --last 1
expect 0 'queen died: first/0' apiary events --kind swarm-died --since 1h
expect 0 '^[^:]*:[^:]*: no such segment; what is kept is told$' apiary events --since 2999-01-01T00:00
expect 3 'no such segment' apiary events --follow

# Another folder, by name; without one it says what was read.
expect 3 'no such segment' apiary events --state "$folder/other"
start "$folder/daemon" apiaryd --config "$config" --state "$folder/other"
daemon=$last
until_true grep -q created "$folder/daemon"
until_true [ -s "$folder/other/${APIARY_SEGMENT#/}/events.db" ]
expect 0 'daemon joined' apiary events --state "$folder/other"
expect 0 "no apiaryd has kept events in $folder/none/.*: only the segment's log was read, which goes back to [0-9]" \
    apiary events --state "$folder/none"
ends
