#!/bin/bash
# Services wait for others: in `depends_on` and in phases, at the start, at a reload, and in reverse at the end. What does not come up
# holds up only who depends on it, and what dies later stops nobody. Each order is a fact of the segment: who is held while whom is
# not there, and in which order its log has them. No time is measured.
# ctest: timeout 900
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

# base passes once there is this file.
made=$folder/made
mkfifo "$folder/gate"
agents() { echo "agents: [{name: a, kind: exec, capabilities: [$1.do], config: {command: [cat]}}]"; }
base="{service: base, agents: [{name: a, plugin: $plugins/late_create.so, capabilities: [base.do], config: {file: $made}}]}"
broken="{service: broken, agents: [{name: a, plugin: $plugins/abort_create.so, capabilities: [broken.do]}]}"
gated() { echo "{service: $1, agents: [{name: gate, plugin: $plugins/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}]${2:+, $2}}"; }
plain() { echo "{service: $1, $(agents "$1")${2:+, $2}}"; } # plain SERVICE [MORE]
write_config() # write_config SWARM... [-- PHASE...]
{
    printf '%s\n' 'meta_registry: {members: 64, lanes: 256, tasks: 512}' 'swarms:'
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        printf '  - %s\n' "$1"
        shift
    done
    [ $# -gt 1 ] || return
    shift
    echo 'phases:'
    printf '  - %s\n' "$@"
} >"$config"

# of SERVICE EXPRESSION: of a row of its in the status, which is s, with v for what its supervisor says; false when it is false.
of()
{
    apiary status --json 2>/dev/null | python3 -c '
import json, sys
s = next(s for s in json.load(sys.stdin)["swarms"] if s["service"] == sys.argv[1])
v = s["supervision"]
sys.exit(not eval(sys.argv[2]))' "$1" "$2" 2>/dev/null
}
is() { of "$@" || fail "$1: not $2: $(apiary status)"; }
passes() { of "$1" 's["state"] == "passing"'; }
held() { of "$1" "s['state'] == 'starting' and v['state'] == 'held' and v['pid'] == 0 and v['restarts'] == 0 and v['waits_for'] == $2.split()"; }
# Of one that lives: on a machine that is busy it may have missed beats, and not pass for a moment.
pid() { apiary status --json | python3 -c '
import json, sys
print(next(s["pid"] for s in json.load(sys.stdin)["swarms"] if s["service"] == sys.argv[1] and s["state"] != "down"))' "$1"; }
# in_order KIND SERVICE...: the log has the first such event of each in this order.
in_order()
{
    local kind=$1
    shift
    apiary events --json --kind "$kind" 2>/dev/null | python3 -c '
import json, sys
seen = []
for e in json.load(sys.stdin)["events"]:
    s = e.get("service")
    if s in sys.argv[1:] and s not in seen: seen.append(s)
print(seen)
sys.exit(seen != sys.argv[1:])' "$@" || fail "not in this order: $kind of $*: $(apiary events --kind "$kind")"
}
up() # up OPTION...: in the background
{
    up_err=$folder/err up_out=$folder/out
    : >"$up_err"
    apiary up --config "$config" "$@" >"$up_out" 2>"$up_err" </dev/null &
    up=$!
}
ended() { until_true gone "$1"; wait "$1"; }
sound() { shmdump --verify >"$folder/verified" || fail "$1: $(cat "$folder/verified")"; }

# ---- one waits for another, and that for a third; the file has them the other way round

misfortune='depends_on'
write_config "$(plain top 'depends_on: [mid]')" "$(plain mid 'depends_on: [base, free]')" "$base" "$(plain free)"
up --wait 60s
until_true passes free
until_true held mid '"base"'
until_true held top '"mid"'
expect 0 '^mid/0: not started yet, it waits for base(, free)?$' apiary status mid
expect 1 'WARNING: .*top/0 .*it waits for mid' apiary check
expect 7 'top/0 is starting in mode ready \(not started yet, it waits for mid\)' apiary wait --all --config "$config" --timeout 50ms
expect 0 'mid +0 .* held ' shmdump
sound 'while some are held'
expect 0 '^x$' apiary delegate free.do x
until_true says 'up: mid/0 waits for base(, free)?; it is started when that passes'
until_true says 'down: base/0 \(starting, started 1 time\), .*mid/0 \(waits for base|mid/0 \(waits for base(, free)?\), base/0 \(starting'
until_true held mid '"base"'
until_true held top '"mid"'
: >"$made"
for service in base mid top; do until_true passes "$service"; done
in_order swarm-registered free base mid top
is top 'v["waits_for"] is None and v["why"] is None'
expect 0 '^x$' apiary delegate top.do x
until_true apiary check --config "$config"

# ---- what dies later stops nobody, and nobody who is started again waits for it

top=$(pid top) mid=$(pid mid)
rm "$made"
kill -KILL "$(pid base)"
until_true of base 'v["restarts"] == 1 and v["state"] == "starting"'
is mid "s['state'] != 'down' and s['pid'] == $mid"
kill -KILL "$mid"
until_true passes_anew mid "$mid"
expect 0 '^mid/[0-9]+ has taken the place of mid/0$' apiary restart mid --rolling
expect 0 '^mid/[0-9]+ is started$' apiary scale mid --instances 2
expect 0 '^mid/[0-9]+ has left$' apiary scale mid --instances 1
is top "s['state'] != 'down' and s['pid'] == $top"
is base 's["state"] != "passing"'

# ---- a reload: one that depends on what passes is started, one that does not waits until what it depends on is another one

write_config "$(plain top 'depends_on: [mid]')" "$(plain mid 'depends_on: [base, free]')" "$base" "$(plain free)" \
    "$(plain late 'depends_on: [top]')" "$(plain later 'depends_on: [late, base]')"
expect 1 'later/0 waits for base(, late)?; it is started when that passes' apiary reload
grep -q '^late/0 is started$' <<<"$output" || fail "late was not started: $output"
until_true held later '"base"'
expect 0 '^nothing to change: ' apiary reload
expect 1 'later/0 waits for base(, late)?; it is started when that passes' apiary restart later
until_true held later '"base"'
write_config "$(plain top 'depends_on: [free]')" "$(plain mid 'depends_on: [base, free]')" "$base" "$(plain free)" \
    "$(plain late 'depends_on: [top]')" "$(plain later 'depends_on: late')"
expect 0 '^later +changed +- +depends_on +base, late +late +nothing is restarted$' apiary config diff "$config" --running
[ "$(wc -l <<<"$output")" -eq 3 ] || fail "more than two differences: $output"
expect 0 '^later/0 is started$' apiary reload
expect 0 '^x$' apiary delegate later.do x
is top "s['state'] != 'down' and s['pid'] == $top"
is base 's["state"] != "passing"'
sed -i 's/depends_on: \[free\]/depends_on: [late]/' "$config"
expect 2 "config.yaml:3: depends_on: top comes back to itself: top, late, top; " apiary reload
expect 2 "config.yaml:3: depends_on: top comes back to itself" apiary config check "$config"
: >"$made"
until_true passes base
kill -TERM "$up"
ended "$up" || fail "it left with $?"

# ---- who others wait for leaves after them, while one of these still works; whoever is left is killed by the second signal

misfortune='the end'
write_config "$(plain one)" "$(plain two 'depends_on: [one]')" "$(gated three 'depends_on: [two]')"
start "$folder/queen" apiary queen one --wait --instance 9 --config "$config" # it keeps the segment, and its log
queen=$last
up --drain 10m
expect 0 '' apiary wait --all --config "$config" --timeout 10m
task_runs() { apiary task ls 2>/dev/null | grep -q 'running.*gate.pass'; }
apiary delegate gate.pass x --detach >/dev/null
until_true task_runs
kill -TERM "$up"
until_true of three 'v["state"] == "leaving"'
is two 's["state"] != "down" and v["state"] in ("passing", "running")'
one_stays() { apiary status --json | python3 -c '
import json, sys
sys.exit(next(s for s in json.load(sys.stdin)["swarms"] if s["service"] == "one" and s["instance"] == "0")["supervision"]["state"] not in ("passing", "running"))'; }
one_stays || fail "one leaves before its dependants: $(apiary status)"
echo open >"$folder/gate"
ended "$up" || fail "it left with $?"
in_order swarm-left three two one
told 'stopped 3 instances'
says 'had to be killed' && fail "some were killed: $(cat "$up_err")"
up --drain 10m
until_true passes three
apiary delegate gate.pass x --detach >/dev/null
until_true task_runs
mapfile -t children < <(pgrep -P "$up")
kill -TERM "$up"
until_true of three 'v["state"] == "leaving"'
kill -TERM "$up"
ended "$up" || fail "it left with $?"
for child in "${children[@]}"; do gone "$child" || fail "process $child is left behind"; done
sound 'after the second signal'
kill -TERM "$queen"
ended "$queen"
rm -f "/dev/shm$APIARY_SEGMENT"

# ---- phases: up to one of them, and on from there without a gap

misfortune='phases'
rm "$made"
write_config "$(plain top)" "$(plain mid)" "$base" "$(plain free)" "$(plain also 'depends_on: [mid]')" -- \
    '{name: data, services: [base]}' '{name: middle, services: [also, mid]}' '{name: front, services: [top]}'
expect 0 'is right: 5 services in 5 processes in 3 phases, ' apiary config check "$config"
expect 2 "config.yaml:8: phases: there is no phase '4'; expected 1 to 3, or a name: data, middle, front" apiary up --config "$config" --phase 4
expect 2 "there is no phase 'back'" apiary up --check-config --config "$config" --phase back
expect 0 '' apiary up --check-config --config "$config" --phase front
up --wait 10m --phase 2
until_true passes free
until_true held mid '"base"'
until_true held also '"base mid"'
told 'up: phase 1 of 3, data$'
says 'phase 2' && fail "phase 2 has begun: $(cat "$up_err")"
: >"$made"
until_true passes also
told 'up: phase 2 of 3, middle$'
expect 0 '' apiary wait --all --phase middle --config "$config" --timeout 10m
until_true apiary check --phase 2 --config "$config"
expect 2 'top/0 is not registered' apiary check --phase 3 --config "$config"
expect 3 '' apiary check --phase 4 --config "$config"
expect 2 "there is no phase '4'" apiary wait --all --phase 4 --config "$config"
expect 64 'it goes with --all' apiary wait top --phase 2
expect 3 'it goes with --config' apiary check --phase 2
in_order swarm-registered free base mid also
until_true says '4 of 4 instances passing'
expect 4 '' apiary status top
expect 4 "no service 'top' in the phases up to 2, the last one that it starts" apiary scale top --instances 2
sed -i 's/top.do\]/top.do], worker: 0/; s/{service: top,/{service: top, weight: 50,/' "$config"
expect 0 '^no difference' apiary config diff "$config" --running
expect 0 '^nothing to change' apiary reload
old=$up
up --replace --wait 10m --phase front
ended "$old" || fail "the old one left with $?"
until_true passes top
told 'up: phase 3 of 3, front$'
until_true says '5 of 5 instances passing'
expect 0 '' apiary wait --all --config "$config" --timeout 10m
sed -i 's/name: front/name: last/' "$config"
expect 2 "config.yaml:8: phases: there is no phase 'front'; expected 1 to 3, or a name: data, middle, last" apiary reload
kill -TERM "$up"
ended "$up" || fail "it left with $?"

# ---- a phase that does not come up delays the next, and does not prevent it; --once ends at it

misfortune='a broken phase'
write_config "$(plain third 'depends_on: [second]')" "$(plain second)" "$(plain needs 'depends_on: [broken]')" "$broken" "$(plain good)" -- \
    '{name: first, services: [broken, good, needs]}' '{name: next, services: [second, third]}'
up --wait 10m
until_true passes third
told 'up: phase 2 of 2, next, which does not wait for broken, needs$|up: phase 2 of 2, next, which does not wait for needs, broken$'
in_order swarm-registered good second third
until_true held needs '"broken"'
told 'up: needs/0 waits for broken; it is started when that passes'
sed -i '/service: broken/s/.*/  - '"$(plain broken | sed 's/[\/&]/\\&/g')"'/' "$config"
expect 0 '^broken/[0-9]+ is started again$' apiary reload # what it waited for is mended
until_true passes needs
kill -TERM "$up"
ended "$up" || fail "it left with $?"
write_config "$(plain second)" "$broken" -- '{name: first, services: [broken]}' '{name: next, services: [second]}'
expect 1 'broken/0 is down: killed by signal 6' apiary up --once --wait 10m --config "$config"
grep -q 'phase 2' <<<"$output" && fail "--once goes on to the next phase: $output"
write_config "$(plain second)" "$(plain first)" -- '{name: first, services: [first]}' '{name: next, services: [second]}'
expect 0 '2 swarms in 2 processes' apiary up --once --config "$config"
expect 0 '1 swarm in 1 process' apiary up --once --config "$config" --phase first

ends
