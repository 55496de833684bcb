#!/bin/bash
# A capability that stands in for another one while that has no provider: after a kill, not for what waits already, not for who wants
# no other, and no longer when the first one is back.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: full
    agents:
      - name: answer
        kind: exec
        capabilities: [{name: answer, rules: [{fallback: answer.short}]}]
        config: {command: [sh, -c, 'if grep -q wait; then cat $folder/gate; fi; echo full']}
  - service: short
    agents:
      - name: answer
        kind: exec
        capabilities: [{name: answer.short, rules: [{fallback: answer.none}, {deny: thief}]}]
        config: {command: [sh, -c, 'cat >/dev/null; echo short']}
END
sed 's/fallback: answer.none/fallback: answer/' "$config" >"$folder/wrong.yaml"
expect 2 'wrong.yaml:7: fallback: answer comes back to itself: answer, answer.short, answer$' apiary queen full --config "$folder/wrong.yaml"
sed 's/fallback: answer.none/fallback: answer.short/' "$config" >"$folder/wrong.yaml"
expect 2 'wrong.yaml:13: fallback: answer.short cannot stand in for itself' apiary queen full --config "$folder/wrong.yaml"

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/full" apiary queen full --config "$config"
full=$last
start "$folder/short" apiary queen short --config "$config"
short=$last
until_true apiary discover answer.short
until_true apiary discover answer
expect 0 '^full$' apiary delegate answer
expect 0 'answer.short stands in for answer, and did for 0 tasks' apiary route explain answer

start "$folder/early" apiary delegate --timeout 10m answer wait
early=$last
until_true sh -c 'apiary task ls --state running | grep -q answer'
kill -KILL "$full"
wait "$full"
for i in {1..5}; do expect 0 '^short$' apiary delegate answer; done
expect 0 '^short$' apiary delegate --key k answer
expect 4 'nobody alive offers this capability' apiary delegate --no-fallback answer
expect 4 'nobody alive offers this capability' apiary delegate --from thief answer
expect 0 'no provider of answer is there: tasks go to answer.short now' apiary route explain answer
expect 4 . apiary route explain answer --from thief
apiary route explain answer --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["fallback"] == o["goes_to"] == "answer.short" and o["fell_back"] == 6, o' || fail 'route explain --json'
expect 0 '^gone to the fallback: 6$' apiary capability show answer
gone "$early" && fail "what waited already has ended: $(cat "$folder/early")"

# Who waits for the first one gets that; with both away there is nobody.
start "$folder/patient" apiary delegate --timeout 10m --no-fallback --wait-for-provider answer
patient=$last
until_true sh -c 'apiary task ls --state scheduled | grep -q answer'
kill -KILL "$short"
wait "$short"
expect 4 'nobody alive offers this capability' apiary delegate answer
start "$folder/full" apiary queen full --config "$config"
wait "$patient"
[ "$(cat "$folder/patient")" = full ] || fail "who waited for the first one: $(cat "$folder/patient")"
echo open >"$folder/gate"
wait "$early"
[ "$(cat "$folder/early")" = $'open\nfull' ] || fail "what waited already: $(cat "$folder/early")"
expect 0 '^full$' apiary delegate answer
expect 0 '^gone to the fallback: 6$' apiary capability show answer
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
