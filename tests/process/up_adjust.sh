#!/bin/bash
# A reload that changes limits, weights, rules and terms of health checks is applied by the queens as they run: no process is another
# one, and no task of a steady load is lost. What else changes is restarted as ever, and what cannot be taken over is told and tried
# again. A queen that is killed comes back with what was taken over.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_load.sh" || exit 1

truncate -s 16M "$folder/ledger.work"
# write_config KEYS_OF_WORK TERMS_OF_WORK KEYS_OF_OTHER [RULES_OF_TOLD [CAPABILITIES_OF_OTHER]]
write_config()
{
    cat >"$config" <<END
meta_registry: {members: 64, lanes: 256, tasks: 512, rule_sets: 3}
swarms:
  - service: work
    queen: {instances: 2}
$(printf '    %s\n' "$1" | sed '/^ *$/d')
    agents:
      - {name: l, plugin: $plugins/ledger.so, capabilities: [{name: work$2}], config: {file: $folder/ledger.work, spin: 1000}}
      - {name: t, kind: exec, capabilities: [{name: told@2${4:-}}], config: {command: [cat]}}
  - service: other
$(printf '    %s\n' "$3" | sed '/^ *$/d')
    agents: [{name: o, kind: exec, capabilities: [${5:-other, second, third}], config: {command: [cat]}}]
END
}
# who_is_denied CALLER CALLER CALLER: by each capability of other
who_is_denied() { echo "{name: other, rules: [{deny: $1}]}, {name: second, rules: [{deny: $2}]}, {name: third, rules: [{deny: $3}]}"; }
# Of all that live: one that has missed beats, on a machine that is busy, is the same process.
pids() # pids SERVICE
{
    apiary status --json | python3 -c '
import json, sys
print(sorted(s["pid"] for s in json.load(sys.stdin)["swarms"] if s["service"] == sys.argv[1] and s["state"] != "down"))' "$1"
}
passing() # passing SERVICE: how many
{
    apiary status --json | python3 -c '
import json, sys
print(sum(s["service"] == sys.argv[1] and s["state"] == "passing" for s in json.load(sys.stdin)["swarms"]))' "$1"
}
is() { [ "$(eval "$1")" = "$2" ] || fail "$1: '$(eval "$1")', not '$2'"; }
weights() { apiary route explain "$1" --json | tr -d ' \n' | grep -o '"weight":[0-9]*' | sort | uniq -c | tr -s ' '; }

write_config '' '' ''
apiary up --config "$config" --wait 10m >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m
load work work --every 500
load_goes_on work
work=$(pids work) other=$(pids other)
is 'weights work' ' 2 "weight":100'
expect 0 '^x$' apiary delegate told@2 x --from outsider

# ---- in place

keys='weight: 40'$'\n    max_concurrent_delegations: 7\n    unhealthy_after: 9\n    health_check_interval: 7s'
write_config "$keys" ', rate: 100000, burst: 5000, queue_limit: 400, eject_after: 17' '' ', rules: [{deny: outsider}], concurrency: 3'
expect 0 '^work +changed +- +weight +100 +40 +applied in place$' apiary config diff "$config" --running
[ "$(grep -c 'applied in place$' <<<"$output")" -eq 10 ] || fail "not all is applied in place: $output"
grep -q restarted <<<"$output" && fail "something is restarted: $output"
expect 0 '^revision 2 is in force$' apiary reload
[ "$(grep -cE '^work/[01] has taken it over as it runs$' <<<"$output")" -eq 2 ] || fail "it is not said who has taken it over: $output"
is 'pids work' "$work"
is 'pids other' "$other"
is 'weights work' ' 2 "weight":40'
for line in '^rate +100000 +yes' '^burst +5000 +yes' '^queue_limit +400 +yes' '^eject_after +17 +yes'; do
    expect 0 "$line" apiary capability show work
done
expect 0 '^concurrency +3 +yes' apiary capability show told # which the major's agent offers, too
expect 0 '^concurrency +3 +yes' apiary capability show told@2
expect 1 'has the rule .deny' apiary delegate told@2 x --from outsider
expect 0 '^x$' apiary delegate told@2 x --from friend
expect 0 'service has taken over another configuration as it runs: work, revision 2' apiary events --kind service-adjusted
expect 0 '^no difference' apiary config diff "$config" --running
expect 0 '^nothing to change: revision 2' apiary reload
load_goes_on work

# ---- one that is killed comes back with it; what an operator has said stays

expect 0 '' apiary weight work 77
write_config 'weight: 60' ', rate: 90000, burst: 5000' '' ''
expect 0 '^revision 3 is in force$' apiary reload
is 'pids work' "$work"
is 'weights work' ' 2 "weight":77'
expect 0 '' apiary weight work default
is 'weights work' ' 2 "weight":60'
expect 0 '^rate +90000 +yes' apiary capability show work
expect 0 '^queue_limit +0 +no' apiary capability show work # which nobody declares any more
expect 0 '^eject_after +5 +no' apiary capability show work
expect 0 '^concurrency +0 +no' apiary capability show told@2
expect 0 '^x$' apiary delegate told@2 x --from outsider
load_goes_on work
load_ends work
kill -KILL "$(tr -d '[] ' <<<"$work" | cut -d, -f1)"
back() { [ "$(pids work)" != "$work" ] && [ "$(pids work | tr -cd ,)" = , ] && [ "$(passing work)" = 2 ]; }
until_true back
is 'weights work' ' 2 "weight":60'
expect 0 '^nothing to change: revision 3' apiary reload
work=$(pids work)

# ---- with something that restarts another service, and only that one

write_config 'weight: 70' '' 'version: 2.0.0'
expect 0 '^revision 4 is in force$' apiary reload
is 'pids work' "$work"
[ "$(pids other)" != "$other" ] || fail "other was not restarted"
is 'weights work' ' 2 "weight":70'
other=$(pids other)

# ---- one that stands still holds up no other one

still=$(tr -d '[] ' <<<"$work" | cut -d, -f1)
stop "$still"
write_config 'weight: 75' '' 'version: 2.0.0'$'\n    weight: 5'
start "$folder/reload" apiary reload
reload=$last
others_have() { [ "$(weights other)" = ' 1 "weight":5' ] && [ "$(weights work)" = ' 1 "weight":70'$'\n'' 1 "weight":75' ]; }
until_true others_have
kill -CONT "$still"
wait "$reload" || fail "$(cat "$folder/reload")"
is 'weights work' ' 2 "weight":75'
is 'pids work' "$work"

# ---- what is not taken over is told, nothing of it is applied, and the next one finds it

other_is() { write_config 'weight: 70' '' "version: 2.0.0"$'\n'"    weight: $1" '' "$(who_is_denied "$2" "$3" "$4")"; }
other_is 5 one two four
expect 0 'taken it over' apiary reload
warns() { [[ "$(apiary check)" = 'APIARY WARNING: 3 of 3 sets of rules are in use: new ones are refused; '* ]]; }
until_true warns
other_is 6 one two five
expect 1 'other/0 has not taken it over: the table of rule sets is full: .*raise rule_sets' apiary reload
is 'weights other' ' 1 "weight":5'
expect 1 'has the rule .deny' apiary delegate third x --from four
expect 0 '^x$' apiary delegate third x --from five
other_is 6 one two two # two capabilities have the same rules
expect 0 'taken it over' apiary reload
is 'weights other' ' 1 "weight":6'
expect 0 '^x$' apiary delegate third x --from four
other_is 6 one two five # and what was there has made room
expect 0 'taken it over' apiary reload
expect 1 'has the rule .deny' apiary delegate third x --from five
expect 1 'has the rule .deny' apiary delegate other x --from one
expect 0 '^x$' apiary delegate third x --from two
is 'pids work' "$work"
is 'pids other' "$other"
expect 0 . shmdump "$APIARY_SEGMENT" --verify
kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"

# ---- a queen that stands still is not waited for without end; its answer that comes later is not taken for another one's

write_config 'weight: 10' '' '' ''
apiary up --config "$config" --wait 2s >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m
one=$(pids other | tr -d '[]')
stop "$one"
write_config 'weight: 10' '' 'weight: 20' ''
expect 1 'other/0 has not taken it over within 2.*s' apiary reload
write_config 'weight: 10' '' 'weight: 30' ''
expect 1 'other/0 has not taken it over within 2.*s' apiary reload
kill -CONT "$one"
settles() { apiary reload | grep -q '^nothing to change'; } # each has two seconds, which is too short now and then
until_true settles
is 'weights other' ' 1 "weight":30'
is 'pids other' "[$one]"

# ---- nor is it taken for one that says what it did, when the text that it did not answer is taken back

stop "$one"
write_config 'weight: 10' '' 'weight: 50' ''
expect 1 'other/0 has not taken it over within 2.*s' apiary reload
expect 1 'other/0 has not taken it over within 2.*s' apiary rollback
write_config 'weight: 10' '' 'weight: 30' '' # as the text in force: it is told again all the same
expect 1 'other/0 has not taken it over within 2.*s' apiary reload
kill -CONT "$one"
until_true settles
is 'weights other' ' 1 "weight":30'
is 'pids other' "[$one]"
expect 0 '^no difference' apiary config diff "$config" --running

# ---- one that has no descriptor left for the text says so, and takes the next one

prlimit --pid "$one" --nofile=3:
write_config 'weight: 10' '' 'weight: 60' ''
expect 1 'other/0 has not taken it over(: it has no descriptor left| within 2.*s)' apiary reload
refused() { apiary reload 2>&1 | grep -q 'it has no descriptor left'; }
until_true refused
is 'weights other' ' 1 "weight":30'
prlimit --pid "$one" --nofile=256:
until_true settles
is 'weights other' ' 1 "weight":60'
is 'pids other' "[$one]"
kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"
expect 64 'descriptor 3 is no socket' apiary queen other --config "$config" --changes 3<&-
python3 - "$APIARY_BIN/apiary" "$config" >"$folder/kept" 2>&1 <<'END'
import os, socket, subprocess, sys
one, other = socket.socketpair()
os.dup2(one.fileno(), 3)
env = {k: v for k, v in os.environ.items() if k != "APIARY_KEEP_FDS"}
sys.exit(subprocess.run([sys.argv[1], "queen", "other", "--config", sys.argv[2], "--changes"], env=env, pass_fds=[3]).returncode)
END
got=$?
[ "$got" -eq 64 ] && grep -q 'APIARY_KEEP_FDS does not name it' "$folder/kept" || fail "it ended with $got: $(cat "$folder/kept")"
ends
