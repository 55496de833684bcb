#!/bin/bash
# What an operator has said of a service is still so when another supervisor has taken over: the mode, its reason, the weight.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

cat >"$config" <<END
meta_registry: {members: 64, lanes: 256, tasks: 512}
swarms:
  - {service: open, agents: [{name: e, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [open]}]}
  - {service: shut, agents: [{name: e, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [shut]}]}
  - service: pair
    queen: {instances: 2}
    agents: [{name: e, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [pair]}]
  - {service: gated, agents: [{name: gate, plugin: $plugins/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}]}
END
mkfifo "$folder/gate"

# said SERVICE: of each instance, a line: its mode, the reason, its weight.
said()
{
    apiary status --json >"$folder/status" && apiary services --json >"$folder/services" || return
    python3 -c '
import json, sys
weights = {(s["service"], s["instance"]): s["weight"] for s in json.load(open(sys.argv[3]))["agents"]}
rows = [s for s in json.load(open(sys.argv[2]))["swarms"] if s["service"] == sys.argv[1]]
print("\n".join(sorted("%s,%s,%s" % (s["mode"], s["reason"] or "-", weights.get((s["service"], s["instance"]))) for s in rows)))
' "$1" "$folder/status" "$folder/services"
}

is() # is WHEN SERVICE LINE...: what `said` says, in the end
{
    local when=$1 service=$2 tries
    shift 2
    for ((tries = 0; tries < 50; tries++)); do
        [ "$(said "$service")" = "$(printf '%s\n' "$@")" ] && return
        turn
    done
    fail "$when: of $service is said: $(said "$service"); not: $*"
}

all_are_there() { [ "$(apiary status --json | grep -c '"instance":')" -eq 5 ]; }

start_up() # start_up OPTION...: another supervisor
{
    : >"$folder/err"
    apiary up --drain 10m --config "$config" "$@" >"$folder/out" 2>"$folder/err" </dev/null &
    up=$!
}

replace() # replace DRAINED: who asks for that one meanwhile is always refused
{
    local old=$up
    start_up --replace
    until gone "$old"; do
        said=$(apiary delegate "$1" x 2>&1) && fail "an heir of $1, which is drained, answered: $said"
    done
    until_true grep -q 'of 5 instances passing' "$folder/err"
    until_true all_are_there # the former ones are forgotten
}

start_up
until_true grep -q '5 of 5 instances passing' "$folder/err"
expect 0 'drained' apiary drain shut --reason 'its disk is full'
expect 0 'drained' apiary drain pair --instance 1 --reason 'new memory'
expect 0 'weighted' apiary weight pair 30 --instance 0
for round in 1 2 3; do
    replace shut
    pgrep -P "$up" -f 'queen shut .*--heir-of' >/dev/null || fail "round $round: the queen of shut is told of none whose heir she is"
    is "round $round" open 'ready,-,100'
    is "round $round" shut 'drain,its disk is full,100'
    is "round $round" pair 'drain,new memory,100' 'ready,-,30'
    expect 4 'nobody' apiary delegate shut x
done

# She has it from her registration on: nobody but her could give it to this one.
of=$(apiary status shut --json | grep -oE '"instance": "[0-9]+"' | grep -oE '[0-9]+')
start "$folder/heir" apiary queen shut --instance 77 --heir-of "$of" --config "$config"
heir=$last
until_true grep -q 'is registered' "$folder/heir"
is 'an heir' shut 'drain,its disk is full,100' 'drain,its disk is full,100'
kill -TERM "$heir"
until_true gone "$heir"
expect 0 '' apiary forget shut --instance 77

# What is said later counts, and nothing of before comes back.
expect 0 'ready' apiary resume shut
expect 0 'ready' apiary resume pair
expect 0 'weight' apiary weight pair default
expect 0 'drained' apiary drain open
for round in 4 5; do
    replace open
    is "round $round" open 'drain,-,100'
    is "round $round" shut 'ready,-,100'
    is "round $round" pair 'ready,-,100' 'ready,-,100'
done
expect 0 '^x$' apiary delegate shut x

# The supervisor is killed, and the next one comes while a queen of the first still has a task: her place gets another name.
apiary delegate gate.pass x --detach >/dev/null
until apiary task ls 2>/dev/null | grep -q 'running.*gate.pass'; do turn; done
expect 7 '1 task is left' apiary drain gated --reason 'it hangs' --timeout 1ms
queen=$(apiary status --json | python3 -c '
import json, sys
print([s["pid"] for s in json.load(sys.stdin)["swarms"] if s["service"] == "gated"][0])')
kill -KILL "$up"
wait "$up" 2>/dev/null
start_up
two_drained() { [ "$(said gated | grep -c '^drain,it hangs,')" -eq 2 ]; }
until_true two_drained
gone "$queen" && fail 'the queen that has a task has gone'
echo open >"$folder/gate"
until_true gone "$queen"
until_true all_are_there
is 'after a death' gated 'drain,it hangs,100'

kill -TERM "$up"
until_true gone "$up"
wait "$up"
ends
