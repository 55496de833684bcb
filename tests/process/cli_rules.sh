#!/bin/bash
# Who may ask for a capability, and which providers get whose tasks: by the caller's own service, also for what is moved after a kill.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: vault
    agents:
      - name: sign
        kind: exec
        capabilities: [{name: sign, rules: [{allow: [bank, shop]}]}]
        config: {command: [tr, a-z, A-Z]}
      - name: page
        kind: exec
        capabilities: [{name: page, rules: [{deny: shop}]}]
        config: {command: [cat]}
    checks:
      - {capability: sign, from: bank, send: x, expect: X}
      - {capability: sign, from: thief, send: x, expect: X}
      - {capability: page, send: x, expect: x}
  - service: one
    agents:
      - name: work
        kind: exec
        capabilities: [{name: work, rules: [{from: shop, forbid: one}, {from: bank, prefer: [two]}]}]
        config: {command: [sh, -c, 'cat >/dev/null; echo one']}
  - service: two
    agents:
      - name: work
        kind: exec
        capabilities: [work]
        config: {command: [sh, -c, 'if grep -q wait; then cat $folder/gate; fi; echo two']}
END

# ---- what the configuration refuses, with its line

sed 's/{from: shop, forbid: one}/{from: shop, deny: one}/' "$config" >"$folder/wrong.yaml"
expect 2 'wrong.yaml:21: from: it goes with prefer and forbid' apiary queen one --config "$folder/wrong.yaml"
sed 's/{allow: \[bank, shop\]}/{alow: bank}/' "$config" >"$folder/wrong.yaml"
expect 2 'wrong.yaml:7: alow: unknown key.*allow' apiary queen one --config "$folder/wrong.yaml"

# ---- the checks call for whom they say

expect 1 "2 of 3 checks passed" apiary up --once --config "$config"
grep -qE '^sign +- .*FAILED: a rule of the capability does not allow this caller' <<<"$output" || fail "up: $output"

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
queen() # queen SERVICE
{
    start "$folder/$1" apiary queen "$1" --config "$config"
    until_true sh -c "apiary status --json | grep -A3 '\"service\": \"$1\"' | grep -q ."
}
queen vault
queen one
one=$last
queen two
two=$last
until_true apiary discover sign
until_true sh -c '[ "$(apiary discover work | grep -c " yes ")" = 2 ]'

# ---- permissions

expect 0 '^AB$' apiary delegate --from bank sign ab
expect 0 '^AB$' apiary delegate --from shop sign ab
expect 1 "sign has the rule 'allow bank', and this process calls for 'thief'" apiary delegate --from thief sign ab
expect 1 "this process calls for no service" apiary delegate sign ab
expect 1 "rule 'deny shop', and this process calls for 'shop'" apiary delegate --from shop page ab
expect 1 "rule 'deny shop'" apiary delegate --from shop --delay 1h page ab
expect 1 "rule 'deny shop'" apiary delegate --from shop --detach page ab
expect 0 '^ab$' apiary delegate page ab
apiary delegate --from thief --json sign ab | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["error"] == "APIARY_EFORBIDDEN" and o["task"] is None and o["retry_after_ns"] is None, o' || fail 'a refusal in JSON'
expect 0 '^rules: allow bank$' apiary capability show sign
expect 0 'refused by them: 3$' apiary capability show sign
apiary capability show --json sign | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["rules"] == [{"rule": "allow", "from": s, "to": None} for s in ("bank", "shop")] and o["refused"] == 3, o' || fail 'capability show --json'

# ---- routes

for i in {1..8}; do
    expect 0 '^two$' apiary delegate --from shop work
    expect 0 '^two$' apiary delegate --from bank work
done
until_true sh -c 'apiary delegate work | grep -q one'
expect 0 'one .* a rule forbids it to the caller$' apiary route explain work --from shop
expect 0 'one .* another one is preferred to the caller$' apiary route explain work --from bank
expect 1 "thief is refused: sign has the rule 'allow bank'" apiary route explain sign --from thief
apiary route explain work --from shop --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
c = {c["service"]: c for c in o["candidates"]}
assert c["one"]["forbidden"] and not c["one"]["chosen"] and c["two"]["chosen"] and not o["refused"], o' || fail 'route explain --json'

# ---- what waits after a kill: the shop's task runs at two again, the bank's goes to one

start "$folder/shop" apiary delegate --timeout 10m --from shop work wait
shop=$last
start "$folder/bank" apiary delegate --timeout 10m --from bank work wait
bank=$last
until_true sh -c '[ "$(apiary task ls --state running | grep -c work)" = 2 ]'
kill -KILL "$two"
wait "$two"
wait "$bank"
[ "$(cat "$folder/bank")" = one ] || fail "the bank's task after the kill: $(cat "$folder/bank")"
expect 4 'nobody alive offers this capability' apiary delegate --from shop work
expect 0 '^one$' apiary delegate --from bank work
gone "$shop" && fail "the shop's task ended where no provider is allowed: $(cat "$folder/shop")"
queen two
until_true sh -c 'apiary task ls --state running | grep -q work'
echo open >"$folder/gate"
wait "$shop"
[ "$(cat "$folder/shop")" = $'open\ntwo' ] || fail "the shop's task: $(cat "$folder/shop")"

# ---- and with nobody alive that has ever declared them they still hold

kill -KILL "$one"
wait "$one"
expect 0 '^two$' apiary delegate --from shop work
expect 0 '"rules"' shmdump "$APIARY_SEGMENT" --json
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
