#!/bin/bash
# What may happen round a supervisor: nobody reads what it says, its terminal goes, its surroundings are strange, its
# services break. The healthy service answers throughout, and what was harmed comes back.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1

up() # up OPTION...: in the background
{
    apiary up --config "$config" "$@" >"$up_out" 2>"$up_err" </dev/null &
    up=$!
    until_true answers text.upper
}


# ---- nobody reads

chatter="{service: chatter, agents: [{name: chatter, plugin: $plugins/chatter.so, capabilities: [chat]}]}"
misfortune 'standard error is a pipe that nobody reads' "$chatter"
mkfifo "$folder/fifo"
apiary up --config "$config" >"$up_out" 2>"$folder/fifo" </dev/null &
up=$!
exec 8<"$folder/fifo"
healthy
until_true pid_of chatter
expect 0 said apiary delegate chat x --timeout 60s
harm
comes_back
exec 7<"$folder/fifo" 8<&-
cat <&7 >"$up_err" &
reader=$!
exec 7<&-
until_true says '[0-9]+ lines are left out here'
verdict
leaves "$up"
wait "$reader"
told 'stopped 3 instances'

misfortune 'standard error is a pipe that nobody reads, to the end' "$chatter"
apiary up --config "$config" >"$up_out" 2>"$folder/fifo" </dev/null &
up=$!
exec 8<"$folder/fifo"
healthy
until_true pid_of chatter
expect 0 said apiary delegate chat x --timeout 60s
verdict
leaves "$up"
exec 8<&-

misfortune 'standard output is a pipe that nobody reads'
sed -i 's|\(    agents: .{name: echo.*\)|\1\n    checks:|' "$config"
for _ in $(seq 200); do echo "      - {capability: echo, send: $(printf '%0400d' 0), expect_match: '^0+\$'}"; done >"$folder/checks"
sed -i "/^    checks:/r $folder/checks" "$config"
apiary up --config "$config" >"$folder/fifo" 2>"$up_err" </dev/null &
up=$!
exec 8<"$folder/fifo"
healthy
harm
comes_back
verdict
leaves "$up"
exec 8<&-

misfortune 'the disk under standard error is full'
apiary up --config "$config" >"$up_out" 2>/dev/full </dev/null &
up=$!
healthy
harm
comes_back
verdict
leaves "$up"

misfortune 'standard error is open for reading only'
apiary up --config "$config" >"$up_out" 2<"$config" </dev/null &
up=$!
healthy
harm
comes_back
verdict
leaves "$up"

misfortune 'the log has reached the largest size that a file may have' "$chatter"
up
healthy
prlimit --pid "$up" --fsize=16384
until_true pid_of chatter
expect 0 said apiary delegate chat x --timeout 60s
harm
comes_back
verdict
leaves "$up"

misfortune 'the terminal is stopped, and then closed'
python3 "$APIARY_SOURCE/tests/process/up_terminal.py" "$folder/terminal" apiary up --config "$config" >/dev/null &
terminal=$!
healthy
up=$(pgrep -P "$terminal")
hangup_without_descriptor() # its terminal is there, and it cannot look: it obeys, which is refused for the same reason
{
    local free=0
    while [ -e "/proc/$up/fd/$free" ]; do free=$((free + 1)); done
    prlimit --pid "$up" --nofile=$free:
    kill -HUP "$up"
    apiary events --kind config-refused | grep -q refused
}
until_true hangup_without_descriptor
prlimit --pid "$up" --nofile=1024:
expect 0 'nothing to change: revision 1' apiary reload
refused=$(apiary events --kind config-refused)
echo stop >"$folder/terminal"
harm
comes_back
harm
comes_back
cp "$config" "$folder/whole"
echo 'half: [' >>"$config"
echo close >"$folder/terminal"
wait "$terminal"
harm
comes_back
cp "$folder/whole" "$config"
expect 0 'nothing to change: revision 1' apiary reload
[ "$refused" = "$(apiary events --kind config-refused)" ] || fail "its terminal went, and it read a file that nobody said was finished"
verdict
leaves "$up"

misfortune 'the service manager does not listen'
python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
c = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
c.setblocking(False)
try:
    while True: c.sendto(b"X=1", sys.argv[1])
except BlockingIOError: pass
os.set_inheritable(s.fileno(), True)
os.environ["NOTIFY_SOCKET"] = sys.argv[1]
os.execvp(sys.argv[2], sys.argv[2:])' "$folder/notify" apiary up --config "$config" >"$up_out" 2>"$up_err" </dev/null &
up=$!
healthy
harm
comes_back
verdict
leaves "$up"

# ---- signals, descriptors, processes

misfortune 'SIGCHLD is ignored, and all signals are blocked, by whoever started it'
python3 -c '
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execvp(sys.argv[1], sys.argv[1:])' apiary up --config "$config" >"$up_out" 2>"$up_err" </dev/null &
up=$!
healthy
harm
comes_back
[ "$(apiary delegate text.upper shout)" = SHOUT ] || fail "$misfortune: an exec agent does not work"
verdict
leaves "$up"

misfortune 'its standard descriptors are closed'
(exec apiary up --config "$config" --segment "$APIARY_SEGMENT" <&- >&- 2>&-) &
up=$!
healthy
harm
comes_back
verdict
leaves "$up"

misfortune 'SIGHUP, and signals that nobody sends a supervisor'
up
healthy
kill -HUP "$up"
until_true says 'says what revision 1 says; nothing is changed'
told "SIGHUP: $config is read again"
mv "$config" "$folder/away"
kill -HUP "$up"
until_true says 'config.yaml.*No such file.*; revision 1 stays in force'
mv "$folder/away" "$config"
for number in USR1 USR2 ALRM VTALRM PROF IO PWR STKFLT TRAP SYS XCPU RTMIN RTMIN+5 RTMAX; do
    kill -"$number" "$up"
done
until_true says 'SIGRTMIN\+30 changes nothing'
for number in USR1 USR2 ALRM VTALRM PROF POLL PWR STKFLT TRAP SYS XCPU 'RTMIN\+0' 'RTMIN\+5'; do
    told "SIG$number changes nothing"
done
harm
comes_back
verdict
leaves "$up"
told 'SIGTERM: stopping 2 instances'
told "stopped 2 instances in .*; $APIARY_SEGMENT is removed"

misfortune 'a descriptor with a lock is inherited'
: >"$folder/lock"
apiary up --config "$config" >"$up_out" 2>"$up_err" </dev/null 9>"$folder/lock" &
up=$!
healthy
for pid in "$up" $(pgrep -P "$up"); do
    find "/proc/$pid/fd" -lname "$folder/lock" 2>/dev/null | grep -q . && fail "$misfortune: process $pid has it"
done
harm
comes_back
verdict
leaves "$up"

misfortune 'a queen leaves processes behind' "{service: parent, agents: [{name: parent, kind: exec, capabilities: [have.children], config: {command: [sh, -c, 'tail -f $config & tail -f $config & echo \$! >$folder/child; wait'], timeout: 1h}}]}"
up
healthy
until_true pid_of parent
apiary delegate have.children x --detach >/dev/null
until_true test -s "$folder/child"
mapfile -t left < <(pgrep -f "^tail -f $config")
[ "${#left[@]}" -eq 2 ] || fail "$misfortune: ${#left[@]} processes"
kill -KILL "$(pid_of parent)"
for pid in "${left[@]}"; do until_true gone "$pid"; done
verdict
leaves "$up"

misfortune 'the coordinator is killed, three times'
up
healthy
for _ in 1 2 3; do
    daemon=$(apiary status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["daemon"])')
    kill -KILL "$daemon"
    until_true gone "$daemon"
    until_true apiary check
done
verdict
leaves "$up"

misfortune 'it is the first process of a container'
if unshare -pf --mount-proc true 2>/dev/null; then
    unshare -pf --mount-proc apiary up --config "$config" >"$up_out" 2>"$up_err" </dev/null &
    outer=$!
    until_true pgrep -P "$outer"
    up=$(pgrep -P "$outer")
    until_true says 'instances passing'
    # An orphan of somebody who came in from outside is adopted by it, and waited for: also the dead have a row in the table.
    orphan="sh -c 'echo >>$folder/orphans' &"
    nsenter -t "$up" -p -m -- sh -c "($orphan) & ($orphan) & exit"
    orphans() { [ "$(wc -l <"$folder/orphans")" -eq 2 ]; }
    until_true orphans
    nobody_left() { ! pgrep -P "$up" -x sh; }
    until_true nobody_left
    nsenter -t "$up" -p -m -- apiary delegate echo ping >"$folder/said" 2>&1
    [ "$(cat "$folder/said")" = ping ] || fail "$misfortune: $(cat "$folder/said")"
    kill -TERM "$up"
    wait "$outer" || fail "$misfortune: it left with $?"
    until_true test ! -e "/dev/shm$APIARY_SEGMENT"
    echo "$misfortune: answered, no zombies, ended by SIGTERM"
else
    echo "$misfortune: not possible here"
fi

ends
