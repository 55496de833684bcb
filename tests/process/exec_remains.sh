#!/bin/bash
# What an attempt at an exec task has started ends with it, before the task is run again: also what has left its session, also
# when the queen is killed; and most of it when the guard is. And what an exec agent may not run yet waits in its queue.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$folder/work" <<'END'
#!/bin/sh
# The first attempt starts what stays, then waits for ever; the next one tells what it still finds of that.
if [ "$APIARY_ATTEMPT" = 1 ]; then
    setsid sh -c 'setsid sh -c "echo \$\$ >'"$HERE"'/daemon.new; mv '"$HERE"'/daemon.new '"$HERE"'/daemon; exec tail -f /dev/null" &' &
    tail -f /dev/null &
    echo $! >"$HERE/child"
    echo "$APIARY_TASK" >"$HERE/task"
    echo $$ >"$HERE/program.new"
    mv "$HERE/program.new" "$HERE/program"
    wait
    exec tail -f /dev/null
fi
for one in program child daemon; do
    kill -0 "$(cat "$HERE/$one")" 2>/dev/null && echo "$one is still there"
done
echo "attempt $APIARY_ATTEMPT at $APIARY_CAPABILITY for '$APIARY_CALLER' of $(cat "$HERE/task"): $APIARY_TASK"
END
chmod +x "$folder/work"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: work_service
    queen: {instances: 2}
    agents:
      - {name: work, kind: exec, capabilities: [work@2], config: {command: [$folder/work], env: [HERE=$folder]}}
  - service: slow_service
    agents:
      - {name: slow, kind: exec, capabilities: [slow], config: {command: [tail, -f, /dev/null], concurrency: 2}}
END
start "$folder/daemon.log" apiaryd --config "$config"
daemon=$last
until_true apiary status
declare -A queens
for i in 0 1; do
    start "$folder/queen.$i" apiary queen work_service --instance "$i" --config "$config"
    queens[$last]=$i
done
until_true apiary check work_service

# ---- killed

parent() { awk '{ print $4 }' "/proc/$1/stat"; }
start "$folder/result" apiary delegate -t 120s work x
caller=$last
until_true test -e "$folder/program" -a -e "$folder/daemon"
queen=$(parent "$(parent "$(cat "$folder/program")")")
[ -n "${queens[$queen]:-}" ] || fail "the program's queen is none of ours: $queen"
kill -KILL "$queen"
wait "$caller" || fail 'the task failed'
task=$(cat "$folder/task")
[ "$(cat "$folder/result")" = "attempt 2 at work for '' of $task: $task" ] || fail "beside the second attempt: $(cat "$folder/result")"
for one in program child daemon; do
    until_true gone "$(cat "$folder/$one")"
done

# ---- cancelled

rm "$folder/program" "$folder/daemon"
start "$folder/cancelled" apiary delegate -t 120s work x
caller=$last
until_true test -e "$folder/program" -a -e "$folder/daemon"
apiary task cancel "$(cat "$folder/task")" || fail 'the task that the program was told cannot be cancelled'
wait "$caller" && fail 'a cancelled task succeeded'
for one in program child daemon; do
    gone "$(cat "$folder/$one")" || fail "$one outlived its cancelled task"
done

# ---- the guard is killed: what has not left its session ends with it

rm "$folder/program" "$folder/daemon"
start "$folder/unguarded" apiary delegate -t 120s work x
caller=$last
until_true test -e "$folder/program" -a -e "$folder/daemon"
kill -KILL "$(parent "$(cat "$folder/program")")"
wait "$caller" && fail 'a task whose guard was killed succeeded'
grep -q 'somebody has killed its guard' "$folder/unguarded" || fail "nobody says that the guard was killed: $(cat "$folder/unguarded")"
grep -q 'was not run' "$folder/unguarded" && fail "a program that ran is told as not run: $(cat "$folder/unguarded")"
ended() { ! grep -hs '^State:' "/proc/$1/status" | grep -qv Z; } # nobody may reap an orphan
for one in program child; do
    until_true ended "$(cat "$folder/$one")"
done
kill -KILL "$(cat "$folder/daemon")" || fail 'the daemon has left the session, and is gone all the same: say so in the manual'

# ---- the same before the program has run: the second attempt waits for what is left of the first

rm "$folder/program" "$folder/daemon"
start "$folder/queen.2" apiary queen work_service --instance 2 --config "$config"
queens[$last]=2
until_true grep -q 'is registered' "$folder/queen.2"
start "$folder/unbegun" apiary delegate -t 120s work x
caller=$last
until_true test -e "$folder/program" -a -e "$folder/daemon"
guard=$(parent "$(cat "$folder/program")")
queen=$(parent "$guard")
stop "$guard"
kill -KILL "$queen"
waits() # a guard of another queen
{
    local other
    for other in "${!queens[@]}"; do
        [ "$other" != "$queen" ] && second=$(pgrep -P "$other" -x apiary-guard) && return
    done
    false
}
until_true waits
kill -KILL "$second"
wait "$caller" && fail 'a task whose guard was killed before its program ran succeeded'
grep -q 'was not run: somebody has killed its guard' "$folder/unbegun" || fail "of a program that was not run is said: $(cat "$folder/unbegun")"
kill -CONT "$guard"
for one in program child daemon; do
    until_true ended "$(cat "$folder/$one")"
done

# ---- what waits

start "$folder/queen.slow" apiary queen slow_service --config "$config"
slow=$last
until_true apiary check slow_service
for i in 1 2 3 4 5; do apiary delegate --detach slow "$i" >/dev/null || fail "task $i was refused"; done
runs() # runs RUNNING QUEUED
{
    apiary status --json | python3 -c '
import json, sys
s = [s for s in json.load(sys.stdin)["swarms"] if s["service"] == "slow_service"][0]
sys.exit([s["running"], s["queued"]] != [int(n) for n in sys.argv[1:]])' "$@"
}
until_true runs 2 3
kill -TERM "$slow" "$daemon" "${!queens[@]}" 2>/dev/null
ends
