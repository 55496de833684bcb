#!/bin/bash
# A queen is killed with tasks in hand, and who begins to recover her is stopped while it holds the lock of her worker's lane: the
# tasks run all the same, whoever asks is told who is stopped, and when that one goes on nothing is undone.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
swarms:
  - service: slow_service
    agents:
      - {name: slow, kind: exec, capabilities: [slow], config: {concurrency: 8, command: [sh, -c, 'echo \$\$ >>$folder/begun; read x <$folder/gate; echo done >>$folder/ended']}}
END
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
start "$folder/queen" apiary queen slow_service --config "$config"
queen=$last
until_true apiary check slow_service

: >"$folder/begun"
for i in 1 2 3 4 5 6; do expect 0 '' apiary delegate slow --detach; done
six_begun()
{
    [ "$(wc -l <"$folder/begun")" -ge 6 ]
}
until_true six_begun

# ---- nobody else is there to recover her, then one who is stopped in the midst of it

kill -KILL "$daemon"
until_true gone "$daemon"
start "$folder/reaper" "$APIARY_TEST_BIN/stopped_reaper" "$APIARY_SEGMENT"
reaper=$last
until_true grep -q ready "$folder/reaper"
kill -KILL "$queen"
until_true grep -q stopped "$folder/reaper"
# A child of hers that still lived when the gate opens would end a task that runs once more.
none_lives()
{
    local pid

    while read -r pid; do kill -0 "$pid" 2>/dev/null && return 1; done <"$folder/begun"
    return 0
}
until_true none_lives

# ---- the queen comes back, and those who look after the host

start "$folder/daemon" apiaryd --config "$config"
start "$folder/queen" apiary queen slow_service --config "$config"
(trap "" PIPE; while [ -p "$folder/gate" ]; do echo go >"$folder/gate"; done) 2>/dev/null &
all_ended()
{
    [ "$(wc -l <"$folder/ended")" -eq 6 ] && ! apiary task ls | grep -q running
}
until_true all_ended
named()
{
    apiary check | grep -q "its reaper (reaper, pid $reaper) is stopped"
}
until_true named
expect 1 "WARNING: .*the recovery of a dead thread does not finish: its reaper \(reaper, pid $reaper\) is stopped" apiary check
expect 1 '' shmdump --verify

# ---- it goes on

kill -CONT "$reaper"
wait "$reaper" || fail "the reaper exits $?: $(cat "$folder/reaper")"
until_true apiary check slow_service
until_true shmdump --verify
named && fail "it is still said to be stopped"
expect 0 '' apiary task ls
grep -q slow <<<"$output" && fail "tasks are left: $output"
[ "$(wc -l <"$folder/ended")" -eq 6 ] || fail "the tasks have ended $(wc -l <"$folder/ended") times"
ends
