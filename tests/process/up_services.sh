#!/bin/bash
# What may happen to the services and the configuration of a supervisor, and to the supervisor itself. The healthy service
# answers throughout; each fault stays with whose it is.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

up() # up OPTION...: in the background
{
    apiary up --config "$config" "$@" >"$up_out" 2>"$up_err" </dev/null &
    up=$!
    healthy
    until_true answers text.upper
}


# ---- services that cannot work

abort="{service: broken, agents: [{name: a, plugin: $plugins/abort_create.so, capabilities: [broken.create]}]}"
misfortune 'a plug-in aborts when its agent is made' "$abort"
up --wait 3s
until_true says 'broken/0 killed by signal 6, [0-9]+ times in a row, starting it again in'
until_true says '2 of 3 instances passing.*; down: broken/0 \(killed by signal 6, started [0-9]+ times?\)'
told 'broken/0 is down: killed by signal 6, started [0-9]+ times'
harm
comes_back
verdict
leaves "$up"
expect 1 'broken/0 is down: killed by signal 6' apiary up --once --config "$config"
grep -qE '(good|harmed)/0 (is down|does not pass)' <<<"$output" && fail "$misfortune: --once names the healthy: $output"

# The second time it takes as long as the file is there.
export APIARY_TEST_ABORTED=$folder/aborted
misfortune 'after an abort a queen starts slowly' "{service: slow, agents: [{name: a, plugin: $plugins/slow_create.so, capabilities: [slow]}]}"
up --wait 3s
until_true says 'slow/0 killed by signal 6'
until_true says '2 of 3 instances passing.*; down: slow/0 \(starting, started [0-9]+ times\)'
harm
comes_back
rm "$APIARY_TEST_ABORTED"
until_true says '3 of 3 instances passing'
verdict
leaves "$up"

misfortune 'a plug-in aborts when it is loaded' "{service: broken, agents: [{name: a, plugin: $plugins/abort_load.so, capabilities: [broken.load]}]}"
up --wait 3s
until_true says 'broken/0 killed by signal 6, [0-9]+ times in a row'
harm
comes_back
verdict
leaves "$up"

cp "$plugins/ledger.so" "$folder/mine.so" 2>/dev/null || cp "$APIARY_BUILD/examples/echo_agent.so" "$folder/mine.so"
misfortune 'the plug-in of another service is missing for a while' "{service: other, agents: [{name: a, plugin: $folder/mine.so, capabilities: [other]}]}"
up
until_true pid_of other
other=$(pid_of other)
mv "$folder/mine.so" "$folder/away.so"
kill -KILL "$other"
until_true says 'other/0 ended with code 2'
harm
comes_back
mv "$folder/away.so" "$folder/mine.so"
until_true passes_anew other "$other"
verdict
leaves "$up"

misfortune 'one service ends itself again and again, and one may not be started again' \
    "{service: once, queen: {restart: never}, agents: [{name: a, kind: exec, capabilities: [once], config: {command: [cat]}}]}" "$abort"
up --wait 3s
until_true pid_of once
kill -KILL "$(pid_of once)"
until_true says 'once/0 killed by signal 9$'
harm
comes_back
verdict
leaves "$up"

misfortune 'an agent makes another program of its queen' "{service: other, agents: [{name: m, plugin: $plugins/misbehave.so, capabilities: [other]}]}"
up
until_true pid_of other
other=$(pid_of other)
apiary delegate other exec --detach >/dev/null
told_last() { says "other/0: pid $other has become another program; it is killed"; }
until_true told_last
until_true says 'task gave up after crashes' # the task is not started a fourth time
until_true answers other
harm
comes_back
verdict
leaves "$up"

misfortune 'an agent ends its worker' "{service: other, workers: 2, agents: [{name: m, plugin: $plugins/misbehave.so, capabilities: [other]}, {name: e, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [beside]}]}"
up
until_true pid_of other
other=$(pid_of other)
apiary delegate other end --detach >/dev/null
until_true says 'worker 0: an agent ended its thread; the one that was called last is m'
until_true says 'other/0 ended with code 1'
until_true says 'task gave up after crashes'
until_true answers other
until_true answers beside
harm
comes_back
verdict
leaves "$up"

# Nothing in the process tells that, so its queen finds out at her beat. The task may not run again and again.
misfortune 'a worker ends by the bare system call' "{service: other, workers: 2, agents: [{name: m, plugin: $plugins/misbehave.so, capabilities: [other]}, {name: e, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [beside]}]}"
up
until_true pid_of other
other=$(pid_of other)
apiary delegate other vanish --detach --timeout 100ms >/dev/null
until_true says 'worker 0: an agent ended its thread; the one that was called last is m'
until_true says 'other/0 ended with code 1'
until_true answers other
until_true answers beside
harm
comes_back
verdict
leaves "$up"

# ---- the configuration

misfortune 'half a configuration is copied over the other while a queen is started again'
up
cp "$config" "$folder/whole"
head -c 150 "$folder/whole" >"$config"
harm
comes_back
expect 2 'config.yaml:[0-9]+: ' apiary reload
harm
comes_back
verdict
leaves "$up"

misfortune 'a typo is saved, a queen dies meanwhile; then it is mended, and one value is another'
up
sed 's/harmed/harmed: [/' "$config" >"$folder/typo"
sed 's/A-Z\]/X-Z]/' "$config" >"$folder/mended"
cp "$folder/typo" "$config"
expect 2 'config.yaml:[0-9]+: ' apiary reload
told 'config.yaml:[0-9]+: .*; revision 1 stays in force'
harm
comes_back
cp "$folder/mended" "$config"
harm
comes_back
[ "$(apiary delegate text.upper a --timeout 1m 2>&1)" = A ] || fail "$misfortune: it is applied before it is asked for"
expect 0 'revision 2 is in force' apiary reload
[ "$(apiary delegate text.upper a --timeout 1m 2>&1)" = X ] || fail "$misfortune: it is not applied"
verdict
leaves "$up"

misfortune 'the configuration is gone, and then it is a pipe'
up
rm "$config"
expect 2 'config.yaml.*No such file' apiary reload
harm
comes_back
mkfifo "$config"
expect 2 'config.yaml: not a regular file' apiary reload
harm
comes_back
verdict
leaves "$up"
rm "$config"

misfortune 'the new configuration has a plug-in that aborts when it is loaded'
up
sed "s|$APIARY_BUILD/examples/echo_agent.so|$plugins/abort_load.so|" "$config" >"$folder/new"
cp "$folder/new" "$config"
expect 1 'config.yaml: its judge, a process of its own, killed by signal 6' apiary reload
harm
comes_back
verdict
leaves "$up"

# ---- stopped, stuck, killed, replaced

misfortune 'a queen is stopped while all are told to leave'
up --drain 200ms
until_true pid_of harmed
kill -STOP "$(pid_of harmed)"
verdict
leaves "$up"
told 'stopped 2 instances'

gate="{service: gated, agents: [{name: gate, plugin: $plugins/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}]}"
stuck() # a handler that does not come back
{
    until_true pid_of gated
    apiary delegate gate.pass x --detach >/dev/null
    until apiary task ls 2>/dev/null | grep -q 'running.*gate.pass'; do turn; done
}
mkfifo "$folder/gate"
misfortune 'a handler does not come back while all are told to leave, and tasks wait' "$gate"
up --drain 200ms
stuck
apiary delegate gate.pass y --detach >/dev/null
verdict
leaves "$up"
told 'SIGTERM: stopping 3 instances; 1 task is running, 1 queued'
told 'stopped 3 instances in .*; 2 tasks are undone'

misfortune 'it is killed, and the next one starts while an old queen still has a task' "$gate"
up
stuck
verdict
old=$(pid_of good)
kill -KILL "$up"
wait "$up" 2>/dev/null
until_true gone "$old" # else it is the one that answers first, and leaves before its successor has come
up
until_true says '3 of 3 instances passing'
harm
comes_back
verdict
echo open >"$folder/gate"
until_true apiary check --config "$config" # the queens of the first one have left, and are not down
kill -TERM "$up"
until_true gone "$up"
wait "$up"

rm -f "/dev/shm$APIARY_SEGMENT"
misfortune 'it is replaced by another one, three times'
up
for _ in 1 2 3; do
    expect 1 "another 'apiary up' \(pid $up\) looks after" apiary up --once --config "$config"
    old=$up
    : >"$up_err.new"
    apiary up --replace --config "$config" >"$up_out" 2>"$up_err.new" </dev/null &
    up=$!
    until_true gone "$old"
    wait "$old" || fail "$misfortune: the old one left with $?"
    until_true grep -q '2 of 2 instances passing' "$up_err.new"
    until_true apiary check >/dev/null # those that were replaced are not missing
    expect 0 '' apiary wait --all --config "$config"
    expect 0 ' OK: ' apiary check --config "$config"
done
harm # what is started again after that has its own record, too
comes_back
until_true apiary check --config "$config"
verdict
leaves "$up"

misfortune 'what would replace it cannot work'
up
sed "s|  - service: good|  - $abort\n&|" "$config" >"$folder/other.yaml"
expect 1 'broken/0 is down' apiary up --replace --wait 5s --config "$folder/other.yaml"
gone "$up" && fail "$misfortune: the one that works has gone"
verdict
leaves "$up"

# ---- to begin with

misfortune 'there is nothing to start'
echo 'swarms: []' >"$config"
expect 2 'names no swarms' apiary up --once --config "$config"
echo "$misfortune: refused"

misfortune 'a queen comes before its coordinator'
start "$folder/queen" apiary queen good --wait --config "$config"
until_true grep -q 'waiting for' "$folder/queen"
expect 3 'no such segment' apiary queen harmed --config "$config"
expect 3 'no such segment' apiary queen harmed --wait=50ms --config "$config"
queen=$last
python3 "$APIARY_SOURCE/tests/process/up_ready.py" "$folder/ready" "$folder/states" apiaryd --ready-when-passing --config "$config" >"$folder/daemon" 2>&1 &
listener=$!
until_true answers echo
grep -q READY "$folder/states" && fail "$misfortune: READY with one service of two"
start "$folder/queen2" apiary queen harmed --wait --config "$config"
queen2=$last
until_true grep -q READY=1 "$folder/states"
kill -TERM "$queen" "$queen2"
until_true gone "$queen"
until_true gone "$queen2"
pkill -TERM -P "$listener"
wait "$listener"
[ "$failures" -eq "$before" ] && echo "$misfortune: it waits; READY comes with the second service"
rm -f "/dev/shm$APIARY_SEGMENT"

misfortune 'the table is wider than the terminal'
on_terminal() # on_terminal COMMAND...: what it shows on 80 columns, without colours
{
    rm -f "$folder/terminal"
    python3 "$APIARY_SOURCE/tests/process/up_terminal.py" "$folder/terminal" "$@" | tr -d '\r' | sed $'s/\033\\[[0-9;]*[a-zA-Z]//g'
}
cat >>"$config" <<END
    checks: [{capability: text.upper, send: $(printf '%0120d' 0), expect_match: "^0+\$"}]
END
row=$(on_terminal apiary up --once --config "$config" | grep '^text.upper')
[ "${#row}" -le 80 ] && [[ $row = *... ]] || fail "$misfortune: $row"
apiary up --once --json --config "$config" 2>/dev/null | grep -q "$(printf '%0120d' 0)" || fail "$misfortune: --json is cut"
apiary up --once --config "$config" 2>/dev/null | grep -q "$(printf '%0120d' 0)" || fail "$misfortune: a file is cut"
on_terminal apiary up --once --wide --config "$config" | grep -q "$(printf '%0120d' 0)" || fail "$misfortune: --wide is cut"
up
until_true apiary wait --all --config "$config"
apiary status >"$folder/file"
head=$(sed -n 2p "$folder/file")
[ "${#head}" -gt 80 ] || fail "$misfortune: the status of a file is narrow: $head"
on_terminal apiary status >"$folder/screen"
widest=$(tail -n +2 "$folder/screen" | wc -L)
[ "$widest" -le 80 ] || fail "$misfortune: $widest columns: $(cat "$folder/screen")"
shown=$(sed -n 2p "$folder/screen") rest=$(sed -n 's/^not shown here: \(.*\) (--wide)$/\1/p' "$folder/screen")
[ "$(tr -s ', ' '\n' <<<"$shown $rest" | sort)" = "$(tr -s ' ' '\n' <<<"$head" | sort)" ] ||
    fail "$misfortune: neither shown nor named: $(cat "$folder/screen")"
[ "$(on_terminal apiary status --wide | sed -n 2p | tr -s ' ')" = "$(tr -s ' ' <<<"$head")" ] || fail "$misfortune: status --wide is another table than a file's"
verdict
leaves "$up"
[ "$failures" -eq "$before" ] && echo "$misfortune: ${#row} and $widest of 80 columns"

ends
