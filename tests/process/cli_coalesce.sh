#!/bin/bash
# Tasks of one dedup key: a hundred callers in processes of their own, one run, and a hundred results; and whoever is killed
# meanwhile, the worker, the first caller or another one, all who are left get the result.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
gate=$folder/gate started=$folder/started
cat >"$config" <<CONFIG
meta_registry: {members: 192, lanes: 256, tasks: 16384}
swarms:
  - service: one_service
    agents:
      - name: held
        kind: exec
        capabilities: [held]
        config: {command: [/bin/sh, -c, 'echo \$\$ >>$started; cat $gate; cat'], concurrency: 8}
      - name: fails
        kind: exec
        capabilities: [fails]
        config: {command: [/bin/sh, -c, 'echo \$\$ >>$started; cat $gate; echo in vain >&2; exit 3']}
  - service: two_service
    agents:
      - name: held_two
        kind: exec
        capabilities: [held]
        config: {command: [/bin/sh, -c, 'echo \$\$ >>$started; cat $gate; cat'], concurrency: 8}
CONFIG
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/one_service.log" apiary queen one_service --config "$config"
one=$last
start "$folder/two_service.log" apiary queen two_service --config "$config"
two=$last
until_true eval 'apiary discover held | grep -c _service | grep -qx 2'

# A program waits at the gate until it has been opened, from when on nobody does.
shut_gate() { rm -f "$gate" "$started" && mkfifo "$gate"; }
open_gate()
{
    mv "$gate" "$gate.open" && ln -s /dev/null "$gate"
    exec 9<>"$gate.open" && exec 9>&-
}
runs() { wc -l <"$started"; }
started_once() { [ -s "$started" ]; }

tasks() { apiary task ls --state "$1" --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["tasks"]))'; }
tasks_are() { [ "$(tasks "$1")" -eq "$2" ]; }
coalesced() { apiary capability show "$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["coalesced"])'; }
idle() { apiary status --json | grep -q '"tasks_used": 0'; }

callers() # callers N CAPABILITY KEY: as processes, in the array `pids`; what each says is in $folder/said.I
{
    pids=()
    for ((i = 0; i < $1; i++)); do
        apiary delegate "$2" "from $i" --dedup-key "$3" --timeout 20m >"$folder/said.$i" 2>&1 &
        pids+=($!)
    done
}
# One is there first: the task that is run is its.
first_caller() # first_caller CAPABILITY KEY
{
    apiary delegate "$1" "the first" --dedup-key "$2" --timeout 20m >"$folder/said.first" 2>&1 &
    first=$!
    until_true started_once
}
all_say() # all_say TEXT N: those of `pids`, each with that, and code 0
{
    local n=0
    for ((i = 0; i < $2; i++)); do
        wait "${pids[$i]}" && grep -qx -- "$1" "$folder/said.$i" && n=$((n + 1))
    done
    [ "$n" -eq "$2" ] || fail "$n of $2 callers have '$1': $(cat "$folder"/said.[0-9]* | sort | uniq -c)"
}

# ---- a hundred callers, one run

shut_gate
first_caller held page
callers 99 held page
until_true tasks_are scheduled 99
apiary task ls --state scheduled --json | python3 -c 'import json, sys
led = {t["follows"] for t in json.load(sys.stdin)["tasks"]}
assert len(led) == 1 and None not in led, led' || fail "they do not all follow one"
follower=$(apiary task ls --state scheduled | awk 'NR == 2 { print $1 }')
expect 0 '^follows +[0-9a-f-]+$' apiary task show "$follower"
shmdump --json | python3 -c 'import json, sys
d = json.load(sys.stdin)
assert len(d["leading"]) == 1 and d["followed_slabs"], d["leading"]' || fail "shmdump does not tell who leads"
expect 0 '' shmdump --verify
open_gate
wait "$first" && grep -qx "the first" "$folder/said.first" || fail "the first has: $(cat "$folder/said.first")"
all_say "the first" 99
[ "$(runs)" -eq 1 ] || fail "$(runs) runs for a hundred callers"
[ "$(coalesced held)" -eq 99 ] || fail "$(coalesced held) are counted"
expect 0 'coalesced: 99 tasks' apiary capability show held
until_true idle

# ---- each that comes later begins anew; other keys are run

open_runs=$(runs)
expect 0 '^again$' apiary delegate held again --dedup-key page --timeout 20m
[ "$(runs)" -eq $((open_runs + 1)) ] || fail "what comes after the result is not run"
shut_gate
callers 1 held one
until_true started_once
apiary delegate held other --dedup-key two --timeout 20m >"$folder/other" &
other=$!
until_true eval '[ "$(runs)" -eq 2 ]'
open_gate
all_say "from 0" 1
wait "$other" && grep -qx other "$folder/other" || fail "another key shares"

# ---- a failure is shared

shut_gate
first_caller fails broken
callers 9 fails broken
until_true tasks_are scheduled 9
open_gate
wait "$first" && fail "a program that fails has a result"
for ((i = 0; i < 9; i++)); do
    wait "${pids[$i]}"
    [ $? -eq 1 ] && grep -q 'in vain' "$folder/said.$i" || fail "a failure is not shared: $(cat "$folder/said.$i")"
done
[ "$(runs)" -eq 1 ] || fail "$(runs) runs of what fails"

# ---- the worker is killed

kill_queen() # kill_queen: of the one whose program runs
{
    local pid
    pid=$(apiary task ls --state running --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["tasks"][0]["worker_pid"])')
    kill -KILL "$pid"
    killed=$([ "$pid" -eq "$one" ] && echo one || echo two)
}
again() # again: the queen that was killed
{
    start "$folder/${killed}_service.log" apiary queen "${killed}_service" --config "$config"
    eval "$killed=\$last"
    apiary wait "${killed}_service" >"$folder/wait" 2>&1 || fail "it does not come back: $(cat "$folder/wait")"
}
shut_gate
first_caller held worker
callers 20 held worker
until_true tasks_are scheduled 20
kill_queen
until_true eval '[ "$(runs)" -eq 2 ]'
tasks_are scheduled 20 || fail "they do not follow the one that is run again"
open_gate
wait "$first" && grep -qx "the first" "$folder/said.first" || fail "after its worker's death the first has: $(cat "$folder/said.first")"
all_say "the first" 20
[ "$(runs)" -eq 2 ] || fail "$(runs) runs, of which a kill explains one"
again

# ---- the first caller is killed: its task goes on, and is the others'

shut_gate
first_caller held caller
callers 20 held caller
until_true tasks_are scheduled 20
kill -KILL "$first"
wait "$first"
open_gate
all_say "the first" 20
[ "$(runs)" -eq 1 ] || fail "$(runs) runs after the first caller's death"
until_true idle

# ---- the first caller cancels: another one is run

shut_gate
first_caller held cancel
callers 20 held cancel
until_true tasks_are scheduled 20
apiary task cancel "$(apiary task ls --state running | awk 'NR == 2 { print $1 }')" >"$folder/cancel" || fail "it is not cancelled"
until_true eval '[ "$(runs)" -eq 2 ]'
until_true tasks_are scheduled 19
open_gate
wait "$first" && fail "what was cancelled has a result"
for ((i = 0; i < 20; i++)); do wait "${pids[$i]}" || fail "after a cancel: $(cat "$folder/said.$i")"; done
[ "$(cat "$folder"/said.[0-9]* | sort -u | wc -l)" -eq 1 ] || fail "not one result: $(sort "$folder"/said.[0-9]* | uniq -c)"
rm -f "$folder"/said.*

# ---- others are killed, and the worker with the first caller

shut_gate
first_caller held several
callers 20 held several
until_true tasks_are scheduled 20
for i in 3 7 11; do kill -KILL "${pids[$i]}"; done
kill_queen
kill -KILL "$first"
until_true eval '[ "$(runs)" -eq 2 ]'
open_gate
for ((i = 0; i < 20; i++)); do
    case $i in 3 | 7 | 11) wait "${pids[$i]}"; continue ;; esac
    wait "${pids[$i]}" && grep -qx "the first" "$folder/said.$i" || fail "caller $i has: $(cat "$folder/said.$i")"
done
again
until_true idle
expect 0 '' shmdump --verify

# ---- refused

expect 64 'does not go with --hedge' apiary delegate held x --dedup-key k --hedge 10ms
expect 64 'does not go with --dedup-key' apiary delegate held x --dedup-key k --all
expect 64 'dedup-key' apiary delegate held x --dedup-key ''
expect 4 '' apiary delegate nobody_has_this x --dedup-key k

[ "$failures" -eq 0 ]
