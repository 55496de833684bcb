#!/bin/bash
# All services are restarted, one after the other, each of two instances and under a load of its own; then one reload changes all of
# them, and one that is refused none. No task fails, none is lost, none is run twice, and the time that tasks take meanwhile is printed.
# ROLLING_SERVICES: how many, of those that the seed names. ROLLING_EVERY: microseconds from one task of a service to its next.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_load.sh" || exit 1

all=(core_service storage_service ai_service ml_service hex_server infra_service swarm_service tools_service security_service
     business_service execution_service interface_service architecture_service)
services=("${all[@]:0:${ROLLING_SERVICES:-3}}")
[ "${#services[@]}" -eq "${ROLLING_SERVICES:-3}" ] || { echo "ROLLING_SERVICES: at most ${#all[@]}"; exit 1; }
every=${ROLLING_EVERY:-2000}

agent() { echo "{name: $2, plugin: $plugins/ledger.so, capabilities: [$1.$2], config: {file: $folder/ledger.$1.$2, spin: 10000}}"; }
# write_config VERSION: another one restarts every service. There is an agent with a ledger for each part of this test.
write_config()
{
    local s
    {
        echo 'meta_registry: {members: 128, lanes: 512, tasks: 1024, queues: 256, swarms: 64}'
        echo 'swarms:'
        for s in "${services[@]}"; do
            echo "  - {service: $s, version: \"$1\", queen: {instances: 2}, agents: [$(agent "$s" rolling), $(agent "$s" reload)]}"
        done
    } >"$config"
}
# Not their states: one that has missed beats, on a machine that is busy, is the same process.
instances() # of all services that live: which one, and its pid
{
    apiary status --json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["swarms"]:
    if s["state"] != "down": print(s["service"] + "/" + s["instance"], s["pid"])' | sort
}
all_pass()
{
    apiary status --json | python3 -c '
import json, sys
sys.exit(not all(s["state"] == "passing" for s in json.load(sys.stdin)["swarms"]))'
}
# all_new BEFORE AFTER: as many, and no process of before among them.
all_new()
{
    [ "$(wc -l <<<"$1")" -eq "$(wc -l <<<"$2")" ] && ! grep -qFxf <(awk '{print $2}' <<<"$1") <(awk '{print $2}' <<<"$2")
}
begin() # begin PART: a load for each service
{
    local s
    part=("${services[@]/%/.$1}")
    for s in "${part[@]}"; do load "$s" "$s" --every "$every"; done
    load_goes_on "${part[@]}"
}
judged() # its loads are over
{
    load_goes_on "${part[@]}"
    load_ends "${part[@]}"
}

for s in "${services[@]}"; do truncate -s 4M "$folder/ledger.$s.rolling" "$folder/ledger.$s.reload"; done
write_config 1.0.0
apiary up --config "$config" --wait 10m >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m
[ "$(instances | wc -l)" -eq $((2 * ${#services[@]})) ] || fail "not two of each: $(instances)"

# ---- one service after the other

begin rolling
for s in "${services[@]}"; do
    before=$(instances | grep "^$s/") others=$(instances | grep -v "^$s/")
    expect 0 "^$s/[0-9]+ has taken the place of $s/[0-9]+\$" apiary restart "$s" --rolling
    [ "$(wc -l <<<"$output")" -eq 2 ] || fail "$s: not both were restarted: $output"
    all_new "$before" "$(instances | grep "^$s/")" || fail "not all of $s are new: $before; $(instances)"
    [ "$others" = "$(instances | grep -v "^$s/")" ] || fail "others than $s were restarted, too: $others; $(instances)"
    until_true all_pass
    load_goes_on "${part[@]}"
done
judged

# ---- a configuration that is refused changes nothing; another one changes all

begin reload
before=$(instances)
write_config 2.0.0
sed -i 's/{service: ml_service/{sevrice: ml_service/; s/{service: ai_service/{sevrice: ai_service/' "$config"
expect 2 "$config:[0-9]+: sevrice: unknown key" apiary reload
write_config 2.0.0
sed -i 's/tasks: 1024/tasks: 2048/' "$config"
expect 1 'these need a new segment: tasks of meta_registry; nothing is changed' apiary reload
[ "$before" = "$(instances)" ] || fail "what was refused has changed something: $before; $(instances)"
expect 0 '^$' apiary events --kind config-applied # what was refused is not told as applied
write_config 2.0.0
expect 0 '^revision 2 is in force$' apiary reload
[ "$(grep -c 'has taken the place of' <<<"$output")" -eq $((2 * ${#services[@]})) ] || fail "not all were restarted: $output"
all_new "$before" "$(instances)" || fail "not all are new: $before; $(instances)"
until_true all_pass
judged

until_true apiary check
expect 0 OK apiary check --config "$config"
expect 0 . shmdump "$APIARY_SEGMENT" --verify
kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"
ends
