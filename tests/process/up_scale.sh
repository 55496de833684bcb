#!/bin/bash
# A service gets more instances and fewer while it is asked without a pause: no task fails, is lost or run twice. What the segment has
# no room for, and what keeps state of its own, is refused, and nothing changes. A reload keeps the number, and a rollback takes it back.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_load.sh" || exit 1

truncate -s 16M "$folder/ledger.work" "$folder/ledger.more"
write_config() # write_config WEIGHT INSTANCES [REPLICAS]
{
    cat >"$config" <<END
meta_registry: {members: 64, lanes: 256, tasks: 512, swarms: 16}
swarms:
  - service: steady
    weight: $1
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
  - service: work
    queen: {instances: $2}
    agents: [{name: l, plugin: $plugins/ledger.so, capabilities: [work], config: {file: $folder/ledger.work, spin: 100000}}]
  - service: more
    weight: $1
    workers: 3
    queen: {update: start_first}
    agents: [{name: m, plugin: $plugins/ledger.so, capabilities: [more], config: {file: $folder/ledger.more, spin: 100000}, replicas: ${3:-1}}]
  - service: stateful
    workers: 2
    agents: [{name: s, kind: ledger, capabilities: [resource_allocation], config: {pools: [cpu=8]}}]
END
}
instances() { apiary status --json | python3 -c '
import json, sys
print(sorted(s["instance"] for s in json.load(sys.stdin)["swarms"] if s["service"] == "work" and s["state"] != "down"))'; }
is() { [ "$(instances)" = "$1" ] || fail "instances: $(instances), not $1"; }

write_config 100 1
apiary up --config "$config" >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m
load work work
load_goes_on work
expect 0 '^work/2 is started$' apiary scale work --instances 3
is "['0', '1', '2']"
load_goes_on work
expect 0 '^nothing to change: revision 2 is in force$' apiary scale work --instances 3
expect 0 '^work/[12] has left$' apiary scale work -n 1
is "['0']"
load_goes_on work
expect 0 '^revision 4 is in force$' apiary scale work --instances 2
expect 0 'service has another number of instances: work, instances 3' apiary events --service work
# One that an operator has taken out of the routing, and that is removed then, is not down for ever.
expect 0 '' apiary drain work --instance 1 --timeout 10m
expect 0 '^work/1 has left$' apiary scale work --instances 1
[ "$(apiary status work --json | grep -c '"instance"')" = 1 ] || fail "who was removed is told as down: $(apiary status work)"
expect 0 '^work/1 is started$' apiary scale work --instances 2
is "['0', '1']"
apiary status work | grep -q drain && fail "the mode of one that was removed has come back: $(apiary status work)"
load_ends work

# ---- refused

expect 2 'swarms: 16 is too few' apiary scale work --instances 20
expect 2 "agent s \(kind 'ledger'\) keeps state, and there are to be several of it \(instances: 2\)" apiary scale stateful --instances 2
expect 4 "scale: its configuration has no service 'nobody'" apiary scale nobody --instances 2
expect 64 "'0' is not a number from 1 to 64" apiary scale work --instances 0
expect 64 "'65' is not a number" apiary scale work --instances 65
expect 64 'which service is to have 2 instances' apiary scale --instances 2
expect 0 '^work +2 +2 ' apiary scale work
expect 64 '' apiary up --instances work=2
expect 2 'swarms: 16 is too few' apiary up --check-config --config "$config" --instances steady=2,work=20
for word in work 'steady,work=2' 'work=3,steady' 'work=3,' 'work=-1' 'work=+1' 'work= 1' 'work=1x' '=1' 'Work=1' 'more/=1' 'work=99999999999'; do
    wrong=$(tr ',' '\n' <<<"$word" | grep -vxE 'work=[23]' | head -1)
    expect 64 "--instances: '${wrong//+/\\+}' is not NAME=NUMBER" apiary up --check-config --config "$config" --instances "$word"
done
expect 2 "wrok=2: there is no service wrok \\(did you mean 'work'\\?\\); known: steady, work, more, stateful" \
    apiary up --check-config --config "$config" --instances steady=2,wrok=2
expect 2 'more/n=2: more has no agent n.*; known: m$' apiary up --check-config --config "$config" --instances more/n=2,work=2
expect 2 'work/m=2: work has no agent m.*; known: l$' apiary queen work --config "$config" --replicas work/m=2
expect 64 "--replicas: 'more=2' is not SERVICE/AGENT=NUMBER" apiary queen more --config "$config" --replicas more/m=1,more=2
expect 0 '' apiary up --check-config --config "$config" --instances work=3
is "['0', '1']"

# ---- a reload keeps it, until the configuration says something else; back

write_config 50 1
expect 0 '^steady +changed .*applied in place$' apiary config diff "$config" --running
grep -q queen.instances <<<"$output" && fail "a reload would keep the number: $output"
expect 0 '^revision 7 is in force$' apiary reload
is "['0', '1']"
write_config 50 3
expect 0 '^work +changed +- +queen.instances +2 +3 ' apiary reload
is "['0', '1', '2']"
expect 0 '^revision 9 is in force$' apiary rollback
is "['0', '1']"
expect 0 '^revision 10 is in force$' apiary rollback

# ---- replicas of an agent: the same, and its service is restarted for it

replicas() { apiary discover more | grep -c ' yes '; }
count() { [ "$(replicas)" = "$1" ] || fail "replicas: $(replicas), not $1"; }
write_config 40 3
expect 0 '^revision 11 is in force$' apiary reload
count 1
load more more
expect 0 '^more +changed +m +replicas +1 +3 ' apiary scale m --replicas 3
count 3
load_goes_on more
expect 0 '^nothing to change: revision 12 is in force$' apiary scale more/m -r 3
expect 2 'replicas: 4 need as many workers; more has workers: 3' apiary scale m --replicas 4
expect 64 "'17' is not a number from 1 to 16" apiary scale m --replicas 17
expect 64 'which agent is to have 2 replicas' apiary scale --replicas 2
expect 64 'one at a time' apiary scale m --replicas 2 --instances 2
expect 4 "its configuration has no agent 'nobody'" apiary scale nobody --replicas 2
expect 4 "its configuration has no agent 'work/m'" apiary scale work/m --replicas 2
expect 2 "agent s \(kind 'ledger'\) keeps state, and there are to be several of it \(replicas: 2\)" apiary scale s --replicas 2
count 3
# It stays when other things are reloaded, also in place; a queen that is killed comes back with it.
write_config 60 3
expect 0 '^more +changed .*applied in place$' apiary config diff "$config" --running
expect 0 '^revision 13 is in force$' apiary reload
count 3
write_config 60 3 2
expect 0 '^more +changed +m +replicas +3 +2 ' apiary reload
count 2
expect 0 '^revision 15 is in force$' apiary rollback
count 3
# One that no longer fits is not to be sought in the file; what is wrong there is.
write_config 60 3
sed 's/workers: 3/workers: 2/' "$config" >"$folder/fewer" && mv "$folder/fewer" "$config"
unfit="more has workers: 2; the text itself is right, but 'apiary scale' has set more/m=3: set another number with it first"
expect 2 "$unfit" apiary config diff "$config" --running
expect 2 "$unfit" apiary reload
sed -i 's/kind: ledger/kind: legder/' "$config"
expect 2 "'legder' is not a kind" apiary reload
grep -q 'apiary scale' <<<"$output" && fail "a scale is blamed for it: $output"
write_config 60 3
count 3
load_ends more
queen=$(pgrep -P "$up" -f "queen more .*--replicas more/m=3")
[[ $queen =~ ^[0-9]+$ ]] || fail "which queen of more was told of three replicas? '$queen'"
kill -KILL "$queen"
until_true passes_anew more "$queen"
count 3
until_true apiary check --config "$config"
kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"
ends
