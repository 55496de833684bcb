#!/bin/bash
# A host that reloads other rules again and again, far more of them than there is room for sets: all are taken over, each is in force at
# once, and the former ones hold no more; also when the queen, or the supervisor with all that it has started, is killed between.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

write_config() # write_config NUMBER: who of that number is denied, and another one
{
    cat >"$config" <<END_OF_CONFIG
meta_registry: {members: 64, lanes: 256, tasks: 512, rule_sets: 8}
swarms:
  - service: work
    queen: {instances: 2}
    agents:
      - {name: a, kind: exec, config: {command: [cat]},
         capabilities: [{name: work, rules: [{deny: guest$1}]}, {name: more, rules: [{deny: [guest$1, stranger]}]}]}
END_OF_CONFIG
}
begin()
{
    apiary up --config "$config" --wait 10m >>"$folder/out" 2>>"$folder/err" </dev/null &
    up=$!
    expect 0 '' apiary wait --all --config "$config" --timeout 10m
}
pid_of_one() { apiary status --json | python3 -c '
import json, sys
print(min((s["pid"] for s in json.load(sys.stdin)["swarms"] if s["state"] != "down"), default=""))'; }
both_pass() { apiary status --json | python3 -c '
import json, sys
sys.exit(sum(s["state"] == "passing" for s in json.load(sys.stdin)["swarms"]) != 2)'; }
in_force() # in_force NUMBER: its rules, and none of those before
{
    expect 1 'has the rule .deny' apiary delegate --from "guest$1" work x
    expect 0 '^x$' apiary delegate --from "guest$(($1 - 1))" work x
    expect 1 'has the rule .deny' apiary delegate --from stranger more x
    expect 0 "^rules: deny guest$1\$" apiary capability show more
}

n=1
write_config "$n"
begin
in_force "$n"
for ((n = 2; n <= 201; n++)); do
    write_config "$n"
    expect 0 'has taken it over as it runs$' apiary reload
    [ $((n % 20)) = 1 ] && in_force "$n"
    case "$n" in
    50 | 100) # a queen: she comes back with the rules in force
        one=$(pid_of_one)
        kill -KILL "$one"
        until_true gone "$one"
        until_true both_pass
        in_force "$n" ;;
    150) # the supervisor, with all that it has started: the segment stays
        mapfile -t old < <(pgrep -P "$up")
        kill -KILL "$up"
        wait "$up"
        for pid in "${old[@]}"; do until_true gone "$pid"; done # they leave when it is gone, and pass until then
        begin
        until_true both_pass
        in_force "$n" ;;
    esac
    [ "$failures" -gt 3 ] && break
done
expect 0 . shmdump "$APIARY_SEGMENT" --verify
kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"
ends
