#!/bin/bash
# What a capability declares in the configuration: is in force, is shown, and a contradiction between two queens is told.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
write_config() # write_config FILE ENTRY
{
    cat >"$1" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256}
swarms:
  - service: text_service
    queen: {instances: 2}
    agents:
      - {name: upper, kind: exec, capabilities: [text.lower, $2], config: {command: [tr, a-z, A-Z]}}
END
}
write_config "$config" '{name: text.upper@2, balance: round_robin}'
write_config "$folder/other.yaml" '{name: text.upper@2, balance: least_loaded}'
write_config "$folder/wrong.yaml" '{name: text.upper@2, balance: best}'

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen.0" apiary queen text_service --config "$config" --instance 0
until_true apiary discover text.upper
expect 0 '^HELLO$' apiary delegate text.upper hello
expect 0 '^text.upper@2 +1 +balance=round_robin$' apiary capability ls
expect 0 '^text.lower +1 +-$' apiary capability ls
expect 0 '^balance +round_robin +yes' apiary capability show text.upper
expect 0 '^balance +[a-z_]+ +no ' apiary capability show text.lower
expect 4 'nobody has ever offered this capability' apiary capability show text.none
apiary capability show text.upper --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["terms"]["balance"] == {"value": "round_robin", "declared": True} and o["providers"] == 1, o' || fail "capability show --json"
shmdump "$APIARY_SEGMENT" --json | python3 -c '
import json, sys
rows = {t["capability"]: t["balance"] for t in json.load(sys.stdin)["terms"]}
assert rows == {"text.upper": "round_robin", "text.upper@2": "round_robin"}, rows' || fail "shmdump"

# ---- another instance has another configuration

start "$folder/queen.1" apiary queen text_service --config "$folder/other.yaml" --instance 1
until_true grep -q 'text_service is registered' "$folder/queen.1"
expect 0 'text.upper: another agent has declared balance: round_robin; text_service declares least_loaded, which is in force now' \
    cat "$folder/queen.1"
expect 0 '^balance +least_loaded +yes' apiary capability show text.upper
expect 0 "terms changed against another agent's" shmdump "$APIARY_SEGMENT"
expect 0 . shmdump "$APIARY_SEGMENT" --verify

expect 2 "wrong.yaml:6: balance: 'best' is not allowed; expected one of" apiary queen text_service --config "$folder/wrong.yaml"
ends
