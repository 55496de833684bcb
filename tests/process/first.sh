#!/bin/bash
# The coordinator and a queen, each as the first process of a container: orphans of the container do not stay as zombies, signals
# and exit codes get through, and all ends with it.
# ctest: not thread
unshare --pid --fork --mount-proc true 2>/dev/null || { echo 'skipped: no right to make a pid namespace'; exit 77; }
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END_OF_CONFIG
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: upper_service
    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]
END_OF_CONFIG

# first FILE COMMAND...: in a pid namespace of its own; the first process is $inner, as it is known out here, $last that outside.
first()
{
    local out=$1
    shift
    start "$out" unshare --pid --fork --mount-proc "$@"
    until_true pgrep -P "$last"
    inner=$(pgrep -P "$last")
}

# Two orphans of somebody who came in from outside: a zombie has no words, and is a child of the first process as long as it is there.
reaps()
{
    nsenter -t "$inner" -p -m -- sh -c '(sh -c : &) ; (sh -c "exit 3" &) ; exit' || fail "$1: nobody comes in"
    no_zombies() { ! ps -o stat= --ppid "$inner" | grep -q Z; }
    until_true no_zombies
}

first "$folder/daemon" apiaryd --config "$config"
daemon=$last first_daemon=$inner
until_true apiary status
reaps apiaryd
first "$folder/queen" apiary queen upper_service --config "$config"
until_true apiary check upper_service
reaps 'a queen'
expect 0 '^HELLO$' apiary delegate text.upper hello
kill -TERM "$inner"
wait "$last" || fail "a queen left with $?: $(cat "$folder/queen")"
expect 0 'it was told to stop, and left' apiary status

# What kills the one that works is told by the first one's end.
first "$folder/queen" apiary queen upper_service --config "$config"
until_true apiary check upper_service
working=$(pgrep -P "$inner")
kill -KILL "$working"
wait "$last"
code=$?
[ "$code" -eq 137 ] || fail "a queen that was killed left with $code: $(cat "$folder/queen")"
start "$folder/queen" unshare --pid --fork --mount-proc apiary queen none --config "$config" # it ends at once
wait "$last"
code=$?
[ "$code" -eq 2 ] || fail "a queen that nobody has configured left with $code: $(cat "$folder/queen")"

# A kill of the first one is the end of both.
first "$folder/queen" apiary queen upper_service --config "$config"
until_true apiary check upper_service
working=$(pgrep -P "$inner")
kill -KILL "$inner"
until_true gone "$working"
kill -INT "$first_daemon"
wait "$daemon" || fail "the coordinator left with $?: $(cat "$folder/daemon")"
ends
