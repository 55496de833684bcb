#!/bin/bash
# The process that watches for the dead is stopped, and a queen is killed while it has a task in hand: the task runs elsewhere, and
# whoever asks is told who is stopped. Then the stopped one goes on, and all is as before.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
swarms:
  - service: slow_service
    queen: {instances: 3}
    agents:
      - {name: slow, kind: exec, capabilities: [slow], config: {concurrency: 4, command: [sh, -c, 'echo \$PPID >>$folder/begun; read x <$folder/gate; echo done >>$folder/ended']}}
END
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
queens=()
for i in 0 1 2; do
    start "$folder/queen-$i" apiary queen slow_service --instance "$i" --config "$config"
    queens+=("$last")
    until_true grep -q 'is registered' "$folder/queen-$i"
done
until_true apiary check

begun_by()
{
    grep -c "^$1\$" "$folder/begun"
}

# ---- six tasks that nobody waits for; the holder of the role is stopped, a queen with some of them is killed

: >"$folder/begun"
for i in 1 2 3 4 5 6; do expect 0 '' apiary delegate slow --detach; done
six_begun()
{
    [ "$(wc -l <"$folder/begun")" -ge 6 ]
}
until_true six_begun
victim=
for q in "${queens[@]}"; do
    [ "$(begun_by "$q")" -eq 0 ] || victim=$q
done
shmdump | grep -qE "of process +$daemon\$" || fail "shmdump does not name the monitor's process: $(shmdump | grep -A4 monitor)"
stop "$daemon"
kill -KILL "$victim"
stood_in_for()
{
    apiary check | grep -q 'another watches in its stead'
}
until_true stood_in_for
expect 1 "WARNING: .*the monitor \(apiaryd, pid $daemon\) is stopped, another watches in its stead" apiary check
(trap "" PIPE; while [ -p "$folder/gate" ]; do echo go >"$folder/gate"; done) 2>/dev/null &
all_ended()
{
    [ "$(wc -l <"$folder/ended")" -eq 6 ]
}
until_true all_ended

# ---- it goes on

kill -CONT "$daemon"
named()
{
    apiary check | grep -q 'is stopped'
}
not_named()
{
    ! named
}
until_true not_named
ends
