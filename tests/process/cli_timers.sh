#!/bin/bash
# The timers of a task, with real processes and no daemon: one that stops beating is ended with its process group and run again, or told
# as what it is; one that beats is shown and goes on; one that is not started in time never starts; a cancelled one ends.
# ctest: not thread
# ctest: not address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

# Its own process and one that it starts are in a file; then it says nothing, unless there is a file "mended".
cat >"$dir/silent" <<END
#!/bin/bash
cat >/dev/null
[ -e "$dir/mended" ] && { echo done; exit; }
tail -f /dev/null &
echo \$\$ \$! >>"$dir/pids"
[ -e "$dir/once" ] && touch "$dir/mended"
echo begun >&2
wait
END
# Says how far it has come until its file is there.
cat >"$dir/steady" <<END
#!/bin/bash
read -r file
echo \$\$ \$\$ >>"$dir/pids"
for ((i = 1; ; i++)); do
    [ -e "\$file" ] && { echo done; exit; }
    echo "step \$i" >&2
    read -rt 0.05 <> <(:)
done
END
chmod +x "$dir/silent" "$dir/steady"
cat >"$dir/c.yaml" <<END
meta_registry: {segment: $segment}
swarms:
  - service: s
    workers: 2
    agents:
      - {name: silent, worker: 0, kind: exec, capabilities: [silent], config: {command: [$dir/silent], timeout: 20m}}
      - {name: steady, worker: 1, kind: exec, capabilities: [steady], config: {command: [$dir/steady], timeout: 20m, concurrency: 1}}
END
"$APIARY_BIN/apiaryd" -c "$dir/c.yaml" 2>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done
"$APIARY_BIN/apiary" queen s -c "$dir/c.yaml" 2>>"$dir/log" &
passing() { apiary status s --json | tr -d ' \n' | grep -q '"state":"passing"'; }
until_true passing
kill -KILL $daemon
wait $daemon 2>/dev/null

all_gone() # every process that was written down
{
    local pid
    for pid in $(cat "$dir/pids"); do kill -0 "$pid" 2>/dev/null && return 1; done
    return 0
}
ended() { until_true all_gone; : >"$dir/pids"; }
shown() { apiary task show "$1" | grep -qE "$2"; }
gone() { ! apiary task show "$1"; }
: >"$dir/pids"

# It stops beating.
expect 1 'took too long' apiary delegate silent x --heartbeat 200ms --timeout 20m
ended
touch "$dir/once"
expect 0 '^done$' apiary delegate silent x --heartbeat 1s --retry 32,backoff=1ms --timeout 20m
ended
rm "$dir/mended" "$dir/once"
expect 1 'took too long' apiary delegate silent "the body" --heartbeat 200ms --retry 2,backoff=1ms --timeout 20m
ended
expect 0 'silent +s/0/silent +took too long +2' apiary dead ls --cause overrun
expect 0 '^the body$' apiary dead show 1

# It beats, for longer than it may be silent.
id=$(apiary delegate steady "$dir/go" --detach --heartbeat 3s --timeout 20m)
until_true shown "$id" '^progress +step (8[0-9]|9[0-9]|[0-9]{3,})'
shown "$id" '^beats +[0-9]{2}' || fail "beats: $(apiary task show "$id")"
apiary task show "$id" --json | tr -d ' \n' | grep -qE '"beats":[0-9]+,"progress":"step[0-9]+"' || fail "$(apiary task show "$id" --json)"

# What waits behind it is not started in time, and nothing of it is.
expect 7 'the deadline passed' apiary delegate steady "$dir/never" --schedule-to-start 200ms --timeout 20m
expect 7 'the deadline passed' apiary delegate steady "$dir/never" --schedule-to-start 200ms --delay 50ms --timeout 20m
touch "$dir/go"
until_true gone "$id"
[ "$(wc -l <"$dir/pids")" -eq 1 ] || fail "it was started: $(cat "$dir/pids")"
ended

# It beats, and takes too long all the same.
expect 1 'took too long' apiary delegate steady "$dir/never" --start-to-close 300ms --heartbeat 20m --timeout 20m
ended

# It is cancelled.
id=$(apiary delegate steady "$dir/never" --detach --timeout 20m)
until_true shown "$id" '^progress +step'
expect 0 '' apiary task cancel "$id"
until_true gone "$id"
ended
expect 64 'heartbeat' apiary delegate steady x --heartbeat soon
expect 0 '' "$APIARY_BIN/shmdump" "$segment" --verify
grep -q 'refused' "$dir/log" && fail "the agent's late answer was taken for misuse: $(grep refused "$dir/log")"
ends
