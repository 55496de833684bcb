#!/bin/bash
# A service has as many instances as what waits at them takes: more when its load grows, fewer when that has ended, one after
# another, each when its tasks are done, whatever else the supervisor is told meanwhile. No task fails, is lost or is run twice, and
# the bounds hold. An instance that cannot start is no reason for more. A supervisor that is killed is followed by one with as many.
# ctest: timeout 1200
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

truncate -s 16M "$folder/ledger"
cp "$APIARY_BUILD/examples/echo_agent.so" "$folder/plug.so"
gate() # gate NAME CAPABILITY: an agent whose tasks wait for their files
{
    echo "{name: $1, kind: exec, capabilities: [$2], config: {concurrency: 1, timeout: 50m, command: [sh, -c, 'read -r n; until [ -e $folder/go.\$n ]; do sleep 0.05; done; echo done \$n']}}" # LINT: the agent's own loop
}
write_config() # write_config MIN WEIGHT: of the one that is gated
{
    cat >"$config" <<END
meta_registry: {members: 64, lanes: 256, tasks: 4096, swarms: 32, queues: 64}
swarms:
  - service: work
    queen: {autoscale: {min: 1, max: 3, backlog: 1, cool_down: 1s}}
    agents: [{name: l, plugin: $plugins/ledger.so, capabilities: [work], config: {file: $folder/ledger, spin: 3000000}}]
  - service: gated
    weight: $2
    workers: 2
    queen: {autoscale: {min: $1, max: 3, backlog: 2, cool_down: 1s}}
    agents: [$(gate g gated)]
  - service: bad
    queen: {autoscale: {max: 3, backlog: 2, cool_down: 1h}}
    agents: [$(gate g badly), {name: p, plugin: $folder/plug.so, capabilities: [plug]}]
  - service: kept
    queen: {autoscale: {max: 3, cool_down: 1h}}
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
  - service: plain
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [plain]}]
END
}

# of SERVICE EXPRESSION: of what the supervisor tells of it, which is s; false when it is false. The bounds are looked at each time.
of()
{
    apiary scale "$1" --json 2>/dev/null | python3 -c '
import json, sys
s = json.load(sys.stdin)["services"][0]
a = s["autoscale"]
if not a["min"] <= s["wanted"] <= a["max"] or s["serving"] + s["starting"] + s["failing"] > a["max"]:
    print(s, file=open(sys.argv[1], "a"))
sys.exit(not eval(sys.argv[2]))' "$folder/out-of-bounds" "$2" 2>/dev/null
}
of_status() # of_status SERVICE INSTANCE KEY: of that instance in the status
{
    apiary status "$1" --json | python3 -c 'import json, sys
print(*[s[sys.argv[2]] for s in json.load(sys.stdin)["swarms"] if s["instance"] == sys.argv[1]])' "$2" "$3"
}
told_event() # told_event KIND SERVICE PATTERN
{
    apiary events --kind "$1" --service "$2" | grep -qE -- "$3"
}
ask() # ask CAPABILITY N [OPTION...]: a task that ends when its gate is opened
{
    local capability=$1 n=$2
    shift 2
    start "$folder/caller.$n" apiary delegate --timeout 20m "$@" "$capability" "$n"
}
open_gates() # open_gates N...: they are answered
{
    local n
    for n in "$@"; do : >"$folder/go.$n"; done
    for n in "$@"; do until_true grep -q . "$folder/caller.$n"; done
    for n in "$@"; do grep -qx "done $n" "$folder/caller.$n" || fail "task $n: $(cat "$folder/caller.$n")"; done
}
provider() # provider CAPABILITY INSTANCE: its number
{
    apiary discover "$1" --json | python3 -c 'import json, sys
print(*[p["provider"] for p in json.load(sys.stdin)["providers"] if p["instance"] == sys.argv[1]])' "$2"
}
begin()
{
    apiary up --config "$config" --drain 500ms >>"$folder/out" 2>>"$folder/err" </dev/null &
    up=$!
}

write_config 1 100
begin
expect 0 '' apiary wait --all --config "$config" --timeout 10m
expect 0 '^work +1 +1 .* 1 +3 +0 wait at 1 instance: it is at min' apiary scale work
expect 0 '^plain +1 +1 .* - +- +- *$' apiary scale
expect 4 "its configuration has no service 'nobody'" apiary scale nobody

# ---- a load grows, and ends

start "$folder/load" "$APIARY_TEST_BIN/rolling" --segment "$APIARY_SEGMENT" --capability work --ledger "$folder/ledger" \
    --until "$folder/enough" --count "$folder/count"
load=$last
until_true of work 's["serving"] == 3'
: >"$folder/enough"
wait "$load" || fail "$(head -5 "$folder/load")"
tail -1 "$folder/load"
grep -qE '^[0-9]+ tasks, 0 failed, 0 lost, 0 run twice' "$folder/load" || fail "$(tail -1 "$folder/load")"
until_true of work 's["wanted"] == 1 and s["serving"] == 1 and s["leaving"] == 0'
told_event service-scaled work "work, instances 3, by user $(id -u), pid $up: autoscale, 1 to 3: [0-9]+ wait at [12] instances?, more than 1 at each" ||
    fail "how it grew: $(apiary events --service work)"
told_event service-scaled work 'work, instances 1, by .*: autoscale, 1 to 3: [0-9]+ waits? at 2 instances: few for the whole cool-down' ||
    fail "how it shrank: $(apiary events --service work)"
expect 0 '^work: to have 1 instance for .*: autoscale, 1 to 3: .*few for the whole cool-down' apiary status work
expect 0 '^work: 2 to 1 at .*: autoscale, 1 to 3: ' apiary scale work

# ---- at max; the tasks that wait at the first instance stay there, and are done

for n in {1..12}; do ask gated "$n"; done
until_true of gated 's["wanted"] == 3 and s["serving"] == 3 and "it is at max" in s["why"]'
until_true told_event service-held gated 'gated, instances 3, by .*: autoscale, 1 to 3: [0-9]+ wait at 3 instances: it is at max'
expect 0 '^gated: held at 3 instances for .*: it is at max' apiary status gated

# ---- fewer: the one that leaves has all the time that its task takes, whatever the time of --drain

write_config 2 100
expect 0 '^gated +changed +- +queen.autoscale.min +1 +2 +nothing is restarted' apiary reload
ask gated 99 --provider "$(provider gated 2)"
until_true of gated 's["running"] == 2'
open_gates {1..12}
pid=$(of_status gated 2 pid)
until_true of gated 's["wanted"] == 2 and s["leaving"] == 1'
[ "$(of_status gated 2 mode)" = drain ] || fail "it is routed to: $(apiary status gated)"
expect 0 '^gated/2: drain: autoscale: it leaves when its tasks are done' apiary status gated

# A change begins, and nobody is about to leave; then the load comes back, and it stays.
write_config 2 50
expect 0 '^gated/0 has taken it over as it runs$' apiary reload
told_event service-scaled gated 'gated, instances 3, by .*: a change has begun before it left' || fail "$(apiary events --service gated)"
until_true of gated 's["wanted"] == 2 and s["leaving"] == 1'
for n in {21..30}; do ask gated "$n"; done
until_true of gated 's["wanted"] == 3 and s["leaving"] == 0 and s["serving"] == 3'
[ "$(of_status gated 2 pid)" = "$pid" ] || fail "another process has its place: $(apiary status gated)"
[ "$(of_status gated 2 mode)" = ready ] || fail "it is not routed to: $(apiary status gated)"
open_gates 99 {21..30}
write_config 1 50
expect 0 '^gated +changed +- +queen.autoscale.min +2 +1 +nothing is restarted' apiary reload
until_true of gated 's["wanted"] == 1 and s["serving"] == 1 and s["leaving"] == 0'
first_passes() { [ "$(of_status gated 0 state)" = passing ]; } # another one than the last has not left
until_true first_passes

# ---- by hand: within the bounds

expect 2 'instances: 4 is outside of autoscale; allowed: 1 to 3' apiary scale gated --instances 4
expect 0 '^kept/2 is started$' apiary scale kept --instances 3
told_event service-scaled kept "kept, instances 3, by user $(id -u), pid [0-9]+: by hand; autoscale goes on from there" ||
    fail "who did it: $(apiary events --service kept)"
expect 0 '^no difference' apiary config diff "$config" --running

# ---- an instance that cannot start

echo garbage >"$folder/garbage"
mv "$folder/plug.so" "$folder/good.so"
mv "$folder/garbage" "$folder/plug.so"
for n in {41..50}; do ask badly "$n"; done
until_true of bad 's["wanted"] == 2 and s["failing"] == 1'
until_true told_event service-held bad 'bad, instances 2, by .*: autoscale, 1 to 3: [0-9]+ wait at 1 instance; 1 does not pass, and more are no remedy'
of bad 's["wanted"] == 2' || fail "it was given more: $(apiary scale bad)"
mv "$folder/good.so" "$folder/plug.so"
until_true of bad 's["serving"] >= 2'
open_gates {41..50}

# ---- another supervisor: as many as there were, and what the former one had taken out of the routing is put back

mapfile -t children < <(pgrep -P "$up")
kill -KILL "$up"
wait "$up" 2>/dev/null
for child in "${children[@]}"; do until_true gone "$child"; done
begin
until_true of kept 's["wanted"] == 3 and s["serving"] == 3'
until_true grep -q '^apiary: up: kept begins with 3 instances, as its former supervisor had$' "$folder/err"
expect 0 '' apiary drain kept --instance 2 --timeout 10m --reason 'autoscale: it leaves when its tasks are done'
until_true of kept 's["serving"] == 3'
expect 0 '' apiary drain kept --instance 2 --timeout 10m --reason mine
until_true of kept '"an operator has some out of the routing" in s["why"]'
[ "$(of_status kept 2 mode)" = drain ] || fail "an operator's word is not kept: $(apiary status kept)"

[ ! -s "$folder/out-of-bounds" ] || fail "out of bounds: $(head -3 "$folder/out-of-bounds")"
expect 0 . shmdump "$APIARY_SEGMENT" --verify
kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"
ends
