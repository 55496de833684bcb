#!/bin/bash
# Instances that are down and will not come back are forgotten: nobody names them any more. One that lives, one for which tasks wait
# and one that a supervisor runs are not, and the message says why.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<END
meta_registry: {members: 64, lanes: 64, swarms: 32}
swarms:
  - service: gone
    queen: {instances: 3}
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [gone.work]}]
  - service: other
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [other.work]}]
END
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
pids=()
for i in 0 1 2; do
    start "$folder/gone.$i" apiary queen gone -c "$config" --instance "$i"
    pids+=("$last")
done
until_true apiary wait gone --timeout 1s
all_passing() { [ "$(apiary status gone --json | grep -c '"passing"')" -eq 3 ]; }
until_true all_passing
expect 0 '^gone: 0 instances forgotten$' apiary forget gone
expect 1 'gone/0: it is not down' apiary forget gone -i 0
expect 4 "no instance 7 of 'gone' is known" apiary forget gone -i 7
expect 4 "no instance of 'fly' is known" apiary forget fly
expect 64 'SERVICE.* is missing' apiary forget

# Two are killed: one in drain, and one for which a task waits.
expect 0 '' apiary drain gone --instance 1 --reason 'goes for good'
kill -KILL "${pids[1]}"
wait "${pids[1]}" 2>/dev/null
down() { apiary status gone --json | python3 -c 'import json, sys; sys.exit(sum(s["state"] == "down" for s in json.load(sys.stdin)["swarms"]) != int(sys.argv[1]))' "$1"; }
until_true down 1
expect 0 '^gone: 1 instance forgotten$' apiary forget gone
[ "$(apiary status gone --json | grep -c '"instance"')" -eq 2 ] || fail "it is still there: $(apiary status)"
expect 0 '' apiary check gone
stop "${pids[0]}" "${pids[2]}"
id=$(apiary delegate gone.work x --detach) || fail delegate
kill -KILL "${pids[0]}" "${pids[2]}"
wait "${pids[0]}" "${pids[2]}" 2>/dev/null
until_true down 2
expect 1 '^gone: 1 instance forgotten$' apiary forget gone
grep -qE 'forget gone/[02]: 1 task waits for it' <<<"$output" || fail "the one with a task: $output"
expect 0 "^$id +queued" apiary task ls
expect 0 '' apiary task cancel "$id"
expect 0 '^gone: 1 instance forgotten$' apiary forget gone
expect 4 'is known' apiary forget gone

# It comes back as if it had never been here, and not in drain.
start "$folder/gone.1" apiary queen gone -c "$config" --instance 1
until_true apiary wait gone --timeout 1s
expect 0 '^x$' apiary delegate gone.work x
kill -KILL "$last"

# A supervisor's own.
kill -TERM "$daemon"
wait "$daemon"
start "$folder/up" apiary up -c "$config"
up=$last
until_true apiary wait --all -c "$config" --timeout 1s
expect 0 '' apiary drain other
other=$(apiary status other --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["swarms"][0]["pid"])')
stop "$up"
kill -KILL "$other"
other_down() { apiary status other --json | grep -q '"down"'; }
until_true other_down
expect 1 'forget other/0: .apiary up. \(pid [0-9]+\) runs it' apiary forget other
kill -KILL "$up"
kill -KILL $(apiary status gone --json | python3 -c 'import json, sys; print(*(s["pid"] for s in json.load(sys.stdin)["swarms"] if s["pid"]))') 2>/dev/null
wait "$up" 2>/dev/null
until_true down 3
expect 0 '^gone: 3 instances forgotten$' apiary forget gone
until_true apiary forget other
expect 4 'is known' apiary forget other
expect 0 '' shmdump --verify
ends
