#!/bin/bash
# A capability whose tasks go to its gate first, an agent of the queen: she refuses some, changes others and passes them on, and there is
# no way round her. Who asked, the time that is left, a cancellation and the hops come through.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 1024}
swarms:
  - service: office
    agents:
      - name: queen
        plugin: $APIARY_BUILD/examples/gate_agent.so
        capabilities: [orders.queen]
        config: {of: orders, limit: 20, stamp: "for "}
      - name: clerk
        kind: exec
        capabilities: [{name: orders, rules: [{via: orders.queen}, {deny: thief}]}, plain]
        config: {command: [sh, -c, 'cat; echo " by \$APIARY_CALLER"'], concurrency: 8}
      - name: slow
        plugin: $APIARY_BUILD/examples/gate_agent.so
        capabilities: [slow.queen]
        config: {of: slow}
      - name: waiter
        kind: exec
        capabilities: [{name: slow, rules: [{via: slow.queen}]}]
        config: {command: [cat, $folder/gate], concurrency: 8}
  - service: shop
    agents:
      - {name: steps, kind: workflow, capabilities: [workflow_execution]}
END

# ---- what is refused, with its line

wrong() # wrong FROM TO PATTERN
{
    sed "s/$1/$2/" "$config" >"$folder/wrong.yaml"
    expect 2 "$3" apiary queen office --config "$folder/wrong.yaml"
}
wrong 'via: orders.queen' 'via: plain' 'wrong.yaml:11: via: no other agent of office offers plain'
wrong 'via: orders.queen' 'via: orders' 'wrong.yaml:11: via: orders cannot have its tasks from itself'
wrong 'via: orders.queen' 'via: workflow_execution' 'wrong.yaml:11: via: no other agent of office offers workflow_execution'
wrong '\[slow.queen\]' '[{name: slow.queen, rules: [{via: orders.queen}]}]' 'wrong.yaml:19: via: slow.queen, the gate of slow, has a gate itself'
wrong '\[slow.queen\]' '[{name: slow.queen, rules: [{fallback: slow}]}]' 'wrong.yaml:.*slow'
wrong '{via: orders.queen}' '{via: orders.queen, from: shop}' 'wrong.yaml:11: from: it goes with prefer and forbid; via is for all'

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/office" apiary queen office --config "$config"
office=$last
start "$folder/shop" apiary queen shop --config "$config"
until_true apiary discover workflow_execution
until_true apiary discover orders

# ---- changed, refused, and who asked

expect 0 '^for shop: tea by shop$' apiary delegate --from shop orders tea
expect 0 '^for : tea by $' apiary delegate orders tea
expect 1 'shop orders 30 bytes; allowed: 20' apiary delegate --from shop orders 123456789012345678901234567890
expect 1 "orders has the rule 'deny thief'" apiary delegate --from thief orders tea
expect 0 '^rules: via orders.queen$' apiary capability show orders
expect 0 'every task of orders goes to orders.queen first' apiary route explain orders
apiary route explain orders --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["gate"] == "orders.queen" and [c["agent"] for c in o["candidates"] if c["chosen"]] == ["clerk"], o' || fail 'route explain --json'

# ---- no way round: not by the swarm's name, a delay, a batch, one provider or all, a key, fire and forget

expect 0 '^for office: tea by office$' apiary delegate --from office orders tea
expect 0 '^for shop: tea by shop$' apiary delegate --from shop --delay 20ms orders tea
expect 0 '^for shop: tea by shop$' apiary delegate --from shop --key k orders tea
number=$(apiary discover orders --json | sed -n 's/.*"provider": \([0-9]*\).*/\1/p' | head -1)
[ -n "$number" ] || fail 'no number of a provider'
expect 4 "'orders' is behind a gate .via., .*none can be for one provider" apiary delegate --from shop --provider "$number" orders tea
expect 0 . apiary delegate --from shop --detach orders tea
expect 0 '^ by ' apiary delegate plain
# By an agent of another swarm, whose workflow asks for it in a step.
expect 0 'for shop: x by shop' apiary delegate workflow_execution '{"steps":[{"capability":"orders","input":"x"}]}'
# With hops for two only: the workflow's, the gate's and the clerk's are three.
expect 1 . apiary delegate --hops 2 workflow_execution '{"steps":[{"capability":"orders","input":"x"}]}'
expect 0 'for shop' apiary delegate --hops 3 workflow_execution '{"steps":[{"capability":"orders","input":"x"}]}'

# ---- time and cancellation come through

# Gate and caller see the end of the time at once, and either may say it.
apiary delegate --timeout 300ms slow x >"$folder/late" 2>&1
code=$?
[ $code = 7 ] || { [ $code = 1 ] && grep -q 'deadline passed' "$folder/late"; } || fail "a late task ends with $code: $(cat "$folder/late")"
until_true sh -c '! apiary task ls | grep -q "slow"'
start "$folder/slow" apiary delegate --from shop --timeout 10m slow x
slow=$last
until_true sh -c 'apiary task ls | grep -q "running .* slow \|running  *slow "'
inner=$(apiary task ls --json | python3 -c '
import json, sys
t = [t for t in json.load(sys.stdin)["tasks"] if t["capability"] == "slow" and t["state"] == "running"]
assert len(t) == 1 and t[0]["caller"] == "office" and t[0]["passed_on_for"] == "shop", t
print(t[0]["task"])') || fail 'the task that was passed on'
expect 0 'passed on for shop' apiary task show "$inner"
outer=$(apiary task ls --json | python3 -c '
import json, sys
print([t["task"] for t in json.load(sys.stdin)["tasks"] if t["capability"] == "slow.queen" and t["state"] == "running"][0])')
apiary task cancel "$outer" || fail 'the cancellation of the task that its caller has'
wait "$slow" && fail 'a cancelled task succeeded'
until_true sh -c '! apiary task ls | grep -q "slow"'

# ---- and after a kill: what waits is passed on by the next queen

start "$folder/kept" apiary delegate --from shop --timeout 10m slow x
kept=$last
until_true sh -c 'apiary task ls | grep -q "running .* slow \|running  *slow "'
kill -KILL "$office"
wait "$office"
expect 4 . apiary delegate --from shop orders tea
start "$folder/office" apiary queen office --config "$config"
until_true sh -c 'apiary task ls | grep -q "running .* slow \|running  *slow "'
echo open >"$folder/gate"
wait "$kept" || fail "after the kill: $(cat "$folder/kept")"
expect 0 '^open$' cat "$folder/kept"
expect 0 '^for shop: tea by shop$' apiary delegate --from shop orders tea
expect 0 . shmdump --verify "$APIARY_SEGMENT"
ends
