#!/bin/bash
# Who gets the tasks where several offer a capability: not an instance that is stopped, not one whose tasks fail; and an operator sees
# why, and weighs.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 64, lanes: 128, tasks: 4096}
swarms:
  - service: text_service
    queen: {instances: 3}
    agents:
      - {name: upper, kind: exec, capabilities: [{name: text.upper, balance: round_robin}], config: {command: [tr, a-z, A-Z]}}
  - service: good_service
    agents:
      - {name: good, kind: exec, capabilities: [{name: work, balance: least_loaded}], config: {command: [echo, good]}}
  - service: bad_service
    weight: 1000
    agents:
      - {name: bad, kind: exec, capabilities: [work], config: {command: [sh, -c, '[ -e $folder/mended ] && echo mended']}}
  - service: broken_service
    agents:
      - name: broken
        kind: exec
        capabilities: [{name: late, eject_after: 2}]
        config: {command: [sh, -c, 'until [ -e $folder/go ]; do sleep 0.05; done; exit 1'], concurrency: 1} # LINT: the agent's own loop
  - service: sound_service
    agents:
      - {name: sound, kind: exec, capabilities: [late], config: {command: [echo, sound]}}
END

why() # why CAPABILITY SERVICE INSTANCE: what route explain says of that instance
{
    apiary route explain "$1" --json | python3 -c '
import json, sys
print([c["why"] for c in json.load(sys.stdin)["candidates"] if (c["service"], c["instance"]) == tuple(sys.argv[1:])][0])' "$2" "$3"
}

is_passed_over() # is_passed_over CAPABILITY SERVICE INSTANCE WHY
{
    [ "$(why "$1" "$2" "$3")" = "$4" ]
}

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
declare -A queens
for i in 0 1 2; do
    start "$folder/queen.$i" apiary queen text_service --config "$config" --instance $i
    queens[$i]=$last
done
until_true sh -c '[ "$(apiary discover text.upper | grep -c yes)" = 3 ]'

# ---- callers of one task each spread, and with no regard to who is first in the tables

for i in {1..40}; do apiary delegate text.upper hello; echo; done >"$folder/out" 2>&1
[ "$(grep -c '^HELLO$' "$folder/out")" = 40 ] || fail "40 calls: $(sort "$folder/out" | uniq -c)"
apiary status --json text_service | python3 -c '
import json, sys
done = [s["done"] for s in json.load(sys.stdin)["swarms"]]
assert len(done) == 3 and min(done) > 0, done' || fail 'one instance got all calls'

# ---- an instance is stopped: what waits there moves to others, and new tasks go to others

stop "${queens[0]}"
for i in {1..12}; do start "$folder/caller.$i" apiary delegate --timeout 120s text.upper "call $i"; done
until_true is_passed_over text.upper text_service 0 'no beat'
for i in {1..12}; do until_true grep -qx "CALL $i" "$folder/caller.$i"; done
for i in {1..20}; do apiary delegate --timeout 60s text.upper hello; echo; done >"$folder/out" 2>&1
[ "$(grep -c '^HELLO$' "$folder/out")" = 20 ] || fail "20 calls beside a stopped instance: $(sort "$folder/out" | uniq -c)"
expect 0 'queued task moved' shmdump "$APIARY_SEGMENT" --events 1000
stop "${queens[1]}" "${queens[2]}"
until_true sh -c 'apiary route explain text.upper | grep -q "none passes, and it is the best"'
kill -CONT "${queens[0]}" "${queens[1]}" "${queens[2]}"
until_true sh -c '[ "$(apiary route explain text.upper --json | grep -c "\"standing\": \"passing\"")" = 3 ]'

# ---- one that fails fast: with ten times the weight it would have nearly all tasks

start "$folder/good" apiary queen good_service --config "$config"
start "$folder/bad" apiary queen bad_service --config "$config"
until_true sh -c '[ "$(apiary discover work | grep -c yes)" = 2 ]'
expect 0 '^\* +bad_service .* 1000 ' apiary route explain work
for i in {1..50}; do apiary delegate work; echo; done >"$folder/out" 2>&1
[ "$(grep -c '^good$' "$folder/out")" -ge 35 ] || fail "50 calls beside a broken agent: $(sort "$folder/out" | uniq -c)"
until_true sh -c 'apiary delegate work >/dev/null 2>&1; apiary route explain work | grep -q "bad_service.* ejected"'
is_told() # is_told: status and check tell of the one that is passed over
{
    apiary delegate work >/dev/null 2>&1
    apiary status >"$folder/status" && apiary status --json >"$folder/status.json"
    apiary check >"$folder/check"
    [ $? -eq 1 ] && grep -q 'bad_service/0 warning (1 of 1 agents passed over: the tasks fail)' "$folder/check" &&
        grep -q 'bad_service/0: 1 of 1 agents passed over, because the tasks fail' "$folder/status" &&
        python3 -c '
import json, sys
rows = {r["service"]: (r["state"], r["ejected"]) for r in json.load(open(sys.argv[1]))["swarms"]}
assert rows["bad_service"] == ("warning", 1) and rows["good_service"] == ("passing", 0), rows' "$folder/status.json" 2>/dev/null
}
until_true is_told
expect 0 "agent passed over because its tasks fail" shmdump "$APIARY_SEGMENT" --events 1000
expect 0 'its tasks fail: it is passed over' cat "$folder/bad"
: >"$folder/mended"
until_true sh -c 'apiary delegate work | grep -q mended'
until_true is_passed_over work bad_service 0 'the lowest score'

# ---- what waits behind the tasks of one that fails goes to another, and is not failed there one after another

start "$folder/broken" apiary queen broken_service --config "$config"
until_true sh -c '[ "$(apiary discover late | grep -c yes)" = 1 ]'
for i in {1..20}; do start "$folder/late.$i" apiary delegate --timeout 120s late; done
until_true sh -c 'apiary status --json broken_service | grep -q "\"queued\": 19"'
start "$folder/sound" apiary queen sound_service --config "$config"
until_true sh -c '[ "$(apiary discover late | grep -c yes)" = 2 ]'
: >"$folder/go"
has_ended() # has_ended FILE: the caller has said how its task ended
{
    [ -s "$1" ]
}
for i in {1..20}; do until_true has_ended "$folder/late.$i"; done
[ "$(grep -lx sound "$folder"/late.* | wc -l)" -ge 16 ] || fail "20 tasks at one that fails: $(sort "$folder"/late.* | uniq -c)"

# ---- the operator's weight

expect 0 'good_service: 1 instance weighted' apiary weight good_service 0
expect 0 'good_service .* weight 0$' apiary route explain work
expect 0 '1 instance with the configured weight' apiary weight good_service default
expect 0 'good_service .* 100 .* a higher score$' apiary route explain work
expect 64 "'much' is not a weight" apiary weight good_service much
expect 4 'no instance' apiary weight none_service 5
expect 0 'good_service has 0 of 100 delegations under way' apiary route explain work --from good_service --key x
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
