#!/bin/bash
# /v1/stream: events as they come, ticks where something is otherwise, and comments in silence; a reader that comes back goes on where it
# was, one that was too slow is told what it has missed; so many listen at a time, and none of them costs the others anything.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, events: 64}
swarms:
  - service: text_service
    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]
END
start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"
start "$folder/queen" apiary queen text_service --config "$config"
until_true apiary wait text_service

listen() # listen FILE [LAST]: the stream into FILE, from behind an event; its process in $last
{
    start "$1" python3 "$APIARY_SOURCE/tests/process/lib_http_stream.py" "$port" "${2:-}"
}
# lines FILE KIND: of that kind, as "ID DATA"
lines() { sed -n "s/^$2 //p" "$1"; }

# ---- what comes

listen "$folder/one"
one=$last
until_true grep -q '^tick ' "$folder/one"
expect 0 '"instances":1,"queued":0,"running":0,"done":0,"failed":0' lines "$folder/one" tick
expect 0 '' apiary pause text_service --reason 'to be told'
until_true grep -q '^event .*"kind":"swarm-mode".*"said":"to be told"' "$folder/one"
number=$(lines "$folder/one" event | sed -n 's/^\([0-9]*\) .*"said":"to be told".*/\1/p')
expect 0 '' apiary resume text_service
expect 0 '^ABC' apiary delegate text.upper abc
until_true grep -q '^tick .*"done":1,' "$folder/one"
until_true grep -q '^comment nothing new' "$folder/one"
ticks=$(lines "$folder/one" tick | wc -l)
until_true sh -c "[ \$(grep -c '^comment nothing new' '$folder/one') -ge 2 ]"
[ "$(lines "$folder/one" tick | wc -l)" -eq "$ticks" ] || fail "it ticks while nothing changes: $(lines "$folder/one" tick | tail -2)"
kill "$one"

# ---- it goes on behind the event that was told last; a number that was never given out is none

listen "$folder/again" "$number"
again=$last
until_true grep -q '^event .*"mode":1,' "$folder/again"
expect 0 "^$((number + 1)) " lines "$folder/again" event
listen "$folder/none" 99999999999999999999
none=$last
until_true grep -q '^tick ' "$folder/none"
grep -q '^event' "$folder/none" && fail "an event that was told before: $(cat "$folder/none")"
kill "$again" "$none"

# ---- who comes back too late is told how many were overwritten, and goes on with the oldest that there is

for i in $(seq 40); do
    apiary pause text_service >/dev/null && apiary resume text_service >/dev/null || fail "round $i"
done
listen "$folder/late" "$number"
late=$last
until_true grep -q '^missed ' "$folder/late"
missed=$(lines "$folder/late" missed | sed -n 's/.*"missed":\([0-9]*\).*/\1/p')
until_true sh -c "[ \$(grep -c '^event' '$folder/late') -ge 64 ]"
expect 0 "^$((number + missed + 1)) " lines "$folder/late" event
kill "$late"

# ---- so many, and no more; who goes makes room; readers that take nothing hold nobody up

for i in $(seq 16); do listen "$folder/many.$i"; done
all_begun() { [ "$(grep -l '^tick' "$folder"/many.* | wc -l)" -eq 16 ]; }
until_true all_begun
expect 0 '^503$' ask /v1/stream
expect 0 '16 listen already' body_of /v1/stream
expect 0 '^ok$' body_of /livez
pkill -STOP -P $$ -f "lib_http_stream.py $port"
for i in $(seq 40); do
    apiary pause text_service >/dev/null && apiary resume text_service >/dev/null || fail "round $i"
    expect 0 '^200$' ask /v1/status
done
pkill -CONT -P $$ -f "lib_http_stream.py $port"
all_told() # the last event, or that it was missed before
{
    local newest i
    newest=$(apiary events --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["events"][-1]["number"])')
    for i in $(seq 16); do grep -q "^event $newest " "$folder/many.$i" || return 1; done
}
until_true all_told
pkill -TERM -P $$ -f "lib_http_stream.py $port"
room_again()
{
    listen "$folder/room"
    until_true grep -q . "$folder/room"
    grep -q '^tick' "$folder/room"
}
until_true room_again
sockets() { find "/proc/$daemon/fd" -lname 'socket:*' | wc -l; }
few() { [ "$(sockets)" -le 8 ]; }
until_true few

# ---- the coordinator ends at once, whoever listens

kill -TERM "$daemon"
wait "$daemon" || fail "the daemon left with $?: $(tail -3 "$folder/daemon")"
ends
