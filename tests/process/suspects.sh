#!/bin/bash
# Who is suspected of a worker's death, and what becomes of those beside it: real queens, killed and crashing. A supervisor restarts
# them. A sanitizer ends a process by _exit, which is not taken for a crash (agents/runtime/crash.h).
# ctest: not thread
# ctest: not address
# ctest: timeout 900
set -u
dir=$(mktemp -d)
segment=/apiary-suspects-$$
export APIARY_SEGMENT=$segment
. "$APIARY_SOURCE/tests/process/lib_leftovers.sh" || exit 1
clear_leftovers apiary-suspects
failures=0
trap 'for job in $(jobs -p); do kill -KILL "$job" 2>/dev/null || true; done; end_of $segment; wait 2>/dev/null; rm -rf "$dir" /dev/shm$segment' EXIT
turn() { read -rt 0.05 <> <(:) || true; }
until_true() { until "$@" >/dev/null 2>&1; do turn; done; }
fail()
{
    echo "$*"
    failures=$((failures + 1))
}
apiary() { "$APIARY_BIN/apiary" "$@"; }

# The agents wait until there is a file of the name that they are given; one worker has all but `bad`.
cat >"$dir/c.yaml" <<END
meta_registry: {segment: $segment, lanes: 128, members: 64}
swarms:
  - service: s
    queen: {instances: 1}
    workers: 2
    agents:
      - {name: slow, worker: 0, kind: exec, capabilities: [slow],
         config: {command: [bash, -c, 'read -r f; until [ -e "\$f" ]; do read -rt 0.05 <> <(:); done; echo \$f'], concurrency: 32}}
      - {name: quick, worker: 0, kind: exec, capabilities: [quick], config: {command: [cat]}}
      - {name: bad, worker: 1, plugin: $APIARY_PLUGINS/misbehave.so, capabilities: [bad]}
END
queen() # queen INSTANCE: one that is restarted whenever it ends
{
    while [ ! -e "$dir/over" ]; do
        "$APIARY_BIN/apiary" queen s --instance "$1" -c "$dir/c.yaml" 2>>"$dir/log" &
        echo $! >"$dir/pid.$1.new" && mv "$dir/pid.$1.new" "$dir/pid.$1"
        wait $!
    done
}
passing() { apiary status s --json | tr -d ' \n' | grep -o '"state":"passing"' | wc -l | grep -qx "$1"; }
ask() # ask NAME CAPABILITY BODY: in the background; what it says is in $dir/NAME, its end in $dir/NAME.code
{
    (
        until apiary delegate "$2" "$3" --timeout 20m >"$dir/$1" 2>&1 || [ $? -ne 4 ]; do turn; done # nobody is there for a moment
        echo ended >"$dir/$1.code"
    ) &
}
# tasks FILTER...: a line for each task: capability, state, starts, crashes, worker's process.
tasks()
{
    apiary task ls --json | python3 -c '
import json, sys
tasks = json.load(sys.stdin)
for t in tasks["tasks"] if isinstance(tasks, dict) else tasks:
    print(t["capability"], t["state"], t["attempts"], t["crashes"], t["worker_pid"])'
}
counted() { [ "$(tasks | grep -cE "$2")" -eq "$1" ]; }
answered() { [ -s "$dir/$1.code" ]; }
expect() # expect NAME TEXT
{
    until_true answered "$1"
    grep -q "$2" "$dir/$1" || fail "$1: $(cat "$dir/$1")"
}

"$APIARY_BIN/apiaryd" -c "$dir/c.yaml" 2>"$dir/log" &
until [ -e /dev/shm$segment ]; do turn; done
queen 0 &
until_true passing 1

# Killed from outside: nobody is suspected, and all that it had in hand runs at once again.
for i in 1 2 3; do ask "killed.$i" slow "$dir/go.killed"; done
until_true counted 3 '^slow running 1 0'
kill -KILL "$(cat "$dir/pid.0")"
until_true counted 3 '^slow running 2 0'
ask killed.new slow "$dir/go.killed"
until_true counted 4 '^slow running'
touch "$dir/go.killed"
for i in 1 2 3 new; do expect "killed.$i" "$dir/go.killed"; done
echo "killed: what was in hand ran again, all at once"

# Its own code: it ends after the third time, in whatever way it does it. Who is beside it is started anew, and answers.
for how in abort fault recurse exit end; do
    ask "beside.$how" slow "$dir/go.$how"
    until_true counted 1 '^slow running'
    ask "$how" bad "$how"
    expect "$how" "crashed its worker too often"
    until_true passing 1
    until_true counted 1 '^slow running'
    counted 1 '^slow running [0-9]* 0' || fail "$how: who was beside it is suspected: $(tasks)"
    touch "$dir/go.$how"
    expect "beside.$how" "$dir/go.$how"
    echo "$how: ended after three starts"
done
echo "crashed: who did it ended, who was beside it answered"

# A suspect's agent has another task in hand that is never answered; neither stops the other, nor anybody else.
ask kept bad keep
until_true counted 1 '^bad running'
ask suspect bad abort
expect suspect "crashed its worker too often"
until_true counted 1 '^bad running [0-9]* 0'
ask after bad hello
expect after once
echo "kept: a suspect does not wait for what is never answered"

# Several instances: what one of them had in hand is spread over the others, and their other agents go on.
queen 1 &
queen 2 &
until_true passing 3
for i in $(seq 12); do ask "spread.$i" slow "$dir/go.spread"; done
until_true counted 12 '^slow running'
most=$(tasks | awk '$1 == "slow" { print $5 }' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
kill -KILL "$most" # it has at least four of them
until_true counted 12 '^slow running'
orphans() { tasks | awk '$1 == "slow" && $3 == 2 { print $5 }' | sort | uniq -c; }
[ "$(orphans | wc -l)" -ge 2 ] || fail "what a dead instance had in hand is all in the hands of one: $(tasks)"
ask quick quick here
expect quick here
touch "$dir/go.spread"
for i in $(seq 12); do expect "spread.$i" "$dir/go.spread"; done
echo "spread: $(orphans | wc -l) others"

touch "$dir/over"
echo "$failures failures"
[ "$failures" -eq 0 ]
