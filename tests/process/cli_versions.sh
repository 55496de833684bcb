#!/bin/bash
# What a name without a major means: the newest major that passes; another, if the capability says so; a part for a canary; and an
# operator sees it.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: old_service
    agents:
      - {name: one, kind: exec, capabilities: [text.say@1], config: {command: [echo, one]}}
  - service: new_service
    agents:
      - {name: two, kind: exec, capabilities: [text.say@2], config: {command: [echo, two]}}
END
# with_terms FILE WORDS: the same configuration, where text.say@2 declares something
with_terms()
{
    sed "s/\[text.say@2\]/[{name: text.say@2, $2}]/" "$config" >"$1"
}
with_terms "$folder/pinned.yaml" 'bare: 1'
with_terms "$folder/canary.yaml" 'canary: 30'
with_terms "$folder/error.yaml" 'bare: error'

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/old" apiary queen old_service --config "$config"
until_true apiary discover text.say
expect 0 '^one$' apiary delegate text.say

new_one() # new_one FILE: the queen of the new service has this configuration from now on
{
    if [ -n "${new:-}" ]; then
        kill "$new"
        wait "$new"
    fi
    start "$folder/new" apiary queen new_service --config "$1"
    new=$last
    until_true sh -c 'apiary discover text.say@2 | grep -q yes'
}

new_one "$config"
for i in {1..10}; do expect 0 '^two$' apiary delegate text.say; done
expect 0 '^one$' apiary delegate text.say@1
expect 0 'text.say means the newest major that passes, now text.say@2$' apiary route explain text.say
expect 0 'old_service .* the name means another major$' apiary route explain text.say
kill "$new"
wait "$new"
new=
expect 0 '^one$' apiary delegate text.say

new_one "$folder/pinned.yaml"
for i in {1..5}; do expect 0 '^one$' apiary delegate text.say; done
expect 0 '^two$' apiary delegate text.say@2
expect 0 'text.say means text.say@1$' apiary route explain text.say
expect 0 '^bare +1 +yes ' apiary capability show text.say

new_one "$folder/canary.yaml"
for i in {1..60}; do apiary delegate text.say; done >"$folder/out" 2>&1
two=$(grep -c '^two$' "$folder/out")
one=$(grep -c '^one$' "$folder/out")
[ $((one + two)) = 60 ] && [ "$two" -gt 3 ] && [ "$two" -lt 40 ] || fail "60 calls with a canary of 30 %: $one and $two"
expect 0 'new_service .* 2 \(30 %\) .* a canary: it gets its part$' apiary route explain text.say
expect 0 '^canary +30 +yes ' apiary capability show text.say@2
apiary route explain text.say --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
two = [c for c in o["candidates"] if c["major"] == 2][0]
assert two["canary_percent"] == 30 and not two["chosen"] and "text.say@1" in o["meaning"], o' || fail 'route explain --json'

new_one "$folder/error.yaml"
expect 1 'text.say: the capability is asked for by NAME@MAJOR only' apiary delegate text.say
expect 0 '^two$' apiary delegate text.say@2
expect 1 'asked for by NAME@MAJOR only' apiary route explain text.say
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
