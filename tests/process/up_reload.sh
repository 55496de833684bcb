#!/bin/bash
# The configuration of a running supervisor is another one: what has changed is applied and nothing else is touched, a wrong one changes
# nothing, and one can go back. Callers ask all the while, and each is answered. At last the supervisor is killed in the midst of it.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

# write_config TEXT_QUEENS ALONE_SAYS MORE...: the sizes are the same in all of them.
write_config()
{
    {
        printf '%s\n' "meta_registry: {members: 64, lanes: 256, tasks: 512}" 'swarms:' \
            '  - service: steady' \
            "    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]" \
            '  - service: text' "    queen: {instances: $1}" "    version: ${version:-1.0}" \
            '    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]' \
            '  - service: alone' '    queen: {update: start_first}' \
            "    agents: [{name: say, kind: exec, capabilities: [say], config: {command: [sed, 's/^/$2 /']}}]"
        shift 2
        printf '  - %s\n' "$@" | sed '/^  - $/d'
    } >"$config"
}
fresh='{service: fresh, agents: [{name: f, kind: exec, capabilities: [fresh], config: {command: [cat]}}]}'

# pids SERVICE: of its instances, each with its name, whether it lives, and its mode. One that has missed beats lives.
pids()
{
    apiary status --json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["swarms"]:
    if s["service"] == sys.argv[1]: print(s["instance"], "down" if s["state"] == "down" else "up", s["mode"], s["pid"])' "$1"
}
count() { pids "$1" | wc -l; }
is() { [ "$(eval "$1")" = "$2" ] || fail "$1: '$(eval "$1")', not '$2'"; }
says() { grep -qE -- "$1" "$folder/err"; }

# Callers, one call after another, until they are told to stop; a line for each call that was not answered as it should be.
caller() # caller CAPABILITY PATTERN
{
    local said
    until [ -e "$folder/enough" ]; do
        said=$(apiary delegate "$1" x --timeout 2m 2>&1)
        grep -qE "^$2\$" <<<"$said" || echo "$1: $said" >>"$folder/lost"
        printf . >>"$folder/calls.$1"
    done
}
calls() { stat -c %s "$folder/calls.$1" 2>/dev/null || echo 0; }
more_calls() # each caller has begun and ended a call from now on
{
    local c from
    for c in echo text.upper say; do
        from=$(calls "$c")
        until [ "$(calls "$c")" -ge $((from + 2)) ]; do turn; done
    done
}

: >"$folder/lost"
export APIARY_TEST_ABORTED=$folder/making
: >"$folder/making"
write_config 2 one
apiary up --config "$config" >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m
caller echo x &
callers=$!
caller text.upper X &
callers="$callers $!"
caller say '(one|two|three) x' &
callers="$callers $!"
more_calls
steady=$(pids steady) text=$(pids text) alone=$(pids alone)

# ---- nothing has changed, something is wrong, something needs a new segment: nothing happens

expect 0 '^nothing to change: revision 1 is in force$' apiary reload
expect 1 'there is no former configuration' apiary rollback
write_config 2 one "$fresh"
sed -i 's/  - service: alone/  - sevrice: alone/' "$config"
expect 2 "apiary: reload: $config:[0-9]+: sevrice: unknown key" apiary reload
until_true says "$config:[0-9]+: sevrice: .*; revision 1 stays in force"
write_config 2 two "$fresh"
sed -i 's/tasks: 512/tasks: 1024/' "$config"
expect 1 "these need a new segment: tasks of meta_registry; nothing is changed" apiary reload
expect 1 '"after": "1024"' apiary reload --json
printf 'swarms: []\n' >"$config"
expect 2 'names no swarms' apiary reload
is 'pids steady' "$steady"
is 'pids text' "$text"
is 'pids alone' "$alone"
expect 4 '' apiary delegate fresh x

# ---- what has changed is applied

version=2.0 write_config 2 two "$fresh"
expect 0 '^text +changed +- +version +1.0 +2.0 +restarted$' apiary config diff "$config" --running
grep -qE '^alone +changed +say +config.command .* restarted$' <<<"$output" || fail "the difference lacks the command: $output"
grep -qE '^fresh +added .* started$' <<<"$output" || fail "the difference lacks the new service: $output"
is 'pids text' "$text"
expect 0 '^revision 2 is in force$' apiary reload
grep -qE '^text/[0-9]+ has taken the place of text/[0-9]+$' <<<"$output" || fail "it does not say who has taken whose place: $output"
expect 0 '^no difference' apiary config diff "$config" --running
is 'pids steady' "$steady"
[ "$(pids text | awk '{print $4}' | grep -cFxf <(awk '{print $4}' <<<"$text"))" = 0 ] || fail "not all of text was restarted: $(pids text)"
expect 0 '^two x$' apiary delegate say x
expect 0 '^x$' apiary delegate fresh x
is 'count text' 2
is 'count alone' 1
more_calls
until_true apiary check
expect 0 'OK' apiary check --config "$config"

# ---- a mode stays, and a weight; services and instances go; a hangup does the same

first=$(pids text | awk 'NR == 1 {print $1}')
expect 0 '' apiary drain text --instance "$first" --reason 'for a while'
expect 0 '' apiary weight alone 77
version=3.0 write_config 2 three "$fresh"
kill -HUP "$up"
until_true says 'apiary: up: revision 3 is in force: config.command of agent say of alone, version of text|version of text, config.command'
done_with() { apiary events --kind config-applied | grep -q ": revision $1,"; }
until_true done_with 3
is "pids text | awk '\$1 == \"$first\" {print \$3}'" drain
is "apiary route explain say --json | tr -d ' ' | grep -o '\"weight\":[0-9]*'" '"weight":77'
expect 0 '' apiary resume text --instance "$first"
version=3.0 write_config 1 two
expect 0 '^fresh +removed .* drained and stopped$' apiary reload
is 'count text' 1
is 'count fresh' 0
expect 4 '' apiary delegate fresh x
is 'pids steady' "$steady"
until_true apiary check
expect 0 'OK' apiary check --config "$config"

# ---- back, and there again

expect 0 '^revision 5 is in force$' apiary rollback
is 'count text' 2
expect 0 '^x$' apiary delegate fresh x
expect 0 '^revision 6 is in force$' apiary rollback
is 'count text' 1
is 'count fresh' 0
expect 0 'service added by a configuration: fresh, revision 2' apiary events --service fresh
grep -q 'service removed by a configuration: fresh, revision 6' <<<"$output" || fail "no event tells that it was removed: $output"
expect 0 'service restarted with another configuration: text, revision 2' apiary events --kind service-changed
expect 0 'configuration refused: revision that stays 1' apiary events --kind config-refused

# ---- a new instance that does not come up: the old one stays, and the next reload finds it

alone=$(pids alone)
version=3.0 write_config 1 two
sed -i "s|{name: say, .*|{name: say, plugin: $plugins/abort_create.so, capabilities: [say]}]|" "$config"
expect 1 'killed by signal 6.*; the old one stays' apiary reload
is 'pids alone' "$alone"
expect 0 '^two x$' apiary delegate say x
version=3.0 write_config 1 three
expect 0 '^alone/[0-9]+ has taken the place of' apiary reload
expect 0 '^three x$' apiary delegate say x
expect 0 '^nothing to change: revision 8' apiary reload
is 'pids steady' "$steady"
more_calls
: >"$folder/enough"
for pid in $callers; do wait "$pid"; done
[ -s "$folder/lost" ] && fail "calls were not answered: $(sort "$folder/lost" | uniq -c | head -5)"
echo "$(calls echo), $(calls text.upper) and $(calls say) calls, $(wc -l <"$folder/lost") lost"
expect 0 . shmdump "$APIARY_SEGMENT" --verify

# ---- services that one reload adds are started together: one that is made slowly holds up no other

slow="{service: slow, agents: [{name: s, plugin: $plugins/slow_create.so, capabilities: [slow]}]}"
version=3.0 write_config 1 three "$slow" "$fresh"
start "$folder/reload" apiary reload
reload=$last
until_true apiary delegate fresh x
rm "$folder/making"
wait "$reload" || fail "$(cat "$folder/reload")"
[ "$(grep -cE '^(slow|fresh)/0 is started$' "$folder/reload")" -eq 2 ] || fail "not both were started: $(cat "$folder/reload")"

# ---- the supervisor is killed in the midst of a reload: a queen still has a task

mkfifo "$folder/gate"
gated() { echo "{service: gated, version: $1, agents: [{name: gate, plugin: $plugins/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}]}"; }
version=3.0 write_config 1 three "$(gated 6)"
expect 0 '^gated/0 is started$' apiary reload
apiary delegate gate.pass x --detach >/dev/null
until apiary task ls 2>/dev/null | grep -q 'running.*gate.pass'; do turn; done
mapfile -t children < <(pgrep -P "$up")
version=3.0 write_config 1 three "$(gated 7)"
start "$folder/reload" apiary reload
reload=$last
leaving() { apiary status --json | python3 -c '
import json, sys
sys.exit(not any(s["service"] == "gated" and s["supervision"]["state"] == "leaving" for s in json.load(sys.stdin)["swarms"]))'; }
until_true leaving
kill -KILL "$up"
wait "$up" 2>/dev/null
wait "$reload"
[ $? -eq 1 ] || fail "the command whose supervisor was killed left with another code"
grep -q 'ended without an answer' "$folder/reload" || fail "it was told: $(cat "$folder/reload")"
for child in "${children[@]}"; do until_true gone "$child"; done
apiary up --config "$config" >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m
until_true apiary check --config "$config"
expect 0 '^three x$' apiary delegate say x
expect 0 '^nothing to change: revision 1' apiary reload
echo open >"$folder/gate" # for the task that was in hand: another queen has it now
none_open() { ! apiary task ls | grep -q gate.pass; }
until_true none_open

# ---- callers that say nothing, of its own user and strangers, take neither its descriptors nor the place of others

silent='
import os, socket, sys, time
path = [l.split()[-1] for l in open("/proc/net/unix") if "@apiary-up" + sys.argv[1] + "/" in l][0]
if sys.argv[2] == "stranger": os.setgroups([]), os.setgid(65534), os.setuid(65534)
calls = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for i in range(200)]
for c in calls: c.connect("\0" + path[1:])
print("connected", flush=True)
time.sleep(1e6)'
prlimit --pid "$up" --nofile=128:
start "$folder/silent" python3 -c "$silent" "$APIARY_SEGMENT" own
quiet=$last
until_true grep -q connected "$folder/silent"
if [ "$(id -u)" -eq 0 ]; then
    start "$folder/strangers" python3 -c "$silent" "$APIARY_SEGMENT" stranger
    quiet="$quiet $last"
    until_true grep -q connected "$folder/strangers"
fi
alone=$(pids alone)
kill -KILL "$(awk '{print $4}' <<<"$alone")"
another() { [ "$(pids alone)" != "$alone" ] && [ "$(pids alone | awk '{print $2}')" = up ]; }
until_true another
expect 0 '^nothing to change: revision 1' apiary reload
for pid in $quiet; do gone "$pid" && fail "who was to be silent has ended: $(cat "$folder/silent" "$folder/strangers" 2>&1)"; done
kill -KILL $quiet
shmdump --verify "$APIARY_SEGMENT" >"$folder/verified" || fail "$(cat "$folder/verified")"
kill -TERM "$up"
until_true gone "$up"
wait "$up" || fail "it left with $?"

# ---- nobody to ask

start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true apiary status
expect 1 "no 'apiary up' looks after" apiary reload
kill "$daemon"
wait "$daemon"
expect 3 'no such segment' apiary --segment "$APIARY_SEGMENT-none" reload

ends
