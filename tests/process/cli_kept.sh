#!/bin/bash
# A result that was promised is there, for any process, until its time is over: after the end of the client that delegated the task, of
# the queen that ran it, and of the daemon. Where there is no room for another, the task is refused, and none is dropped.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

cat >"$dir/kept.yaml" <<END
meta_registry: {segment: $segment, lanes: 64, members: 64, kept_results: 4}
swarms:
  - service: s
    agents:
      - {name: echo, kind: exec, capabilities: [echo], config: {command: [cat]}}
      - {name: large, kind: exec, capabilities: [large], config: {command: [sh, -c, 'head -c 100000 /dev/zero | tr "\\\\0" x']}}
      - {name: failing, kind: exec, capabilities: [failing], config: {command: [sh, -c, 'echo no such luck >&2; exit 3']}}
      - {name: gate, kind: exec, capabilities: [gate],
         config: {command: [bash, -c, 'read -r file; until [ -e "\$file" ]; do read -rt 0.05 <> <(:); done; echo through']}}
END
passing() { apiary status s --json | tr -d ' \n' | grep -q '"state":"passing"'; }
used() { [ "$(apiary kept ls --json | tr -d ' \n' | grep -o '"used":[0-9]*')" = "\"used\":$1" ]; }
blocks() { "$APIARY_BIN/shmdump" --json "$segment" | tr -d ' \n' | grep -o '"kept":[0-9][0-9]*' | tr -dc '1-9\n' | grep -c .; }

"$APIARY_BIN/apiaryd" -c "$dir/kept.yaml" 2>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done
"$APIARY_BIN/apiary" queen s -c "$dir/kept.yaml" 2>>"$dir/log" & queen=$!
until_true passing

expect 64 'keep' apiary delegate echo x --detach --keep never
expect 64 'detach' apiary delegate echo x --keep 1h
expect 0 '^task +capability +end +bytes +expires in' apiary kept ls
used 0 || fail "something is kept before anything was asked for"

small=$(apiary delegate echo hello --detach --keep 1h) || fail "echo"
large=$(apiary delegate large --detach --keep 1h) || fail "large"
failed=$(apiary delegate failing --detach --keep 1h) || fail "failing"
waits=$(apiary delegate gate "$dir/open" --detach --keep 1h) || fail "gate"
expect 0 '^hello$' apiary kept fetch "$small" --wait 2m
expect 0 '^hello$' apiary kept fetch "$small"
[ "$(apiary kept fetch "$large" --wait 2m | tr -d x | wc -c) $(apiary kept fetch "$large" | wc -c)" = "0 100000" ] || fail "large: cut"
expect 1 'failed the task .its code 3.*no such luck' apiary kept fetch "$failed" --wait 2m
expect 7 'not ended' apiary kept fetch "$waits"
expect 5 'table is full: 4 of the 4 results .*kept_results.*, 4 of them for processes that have left.* retry after [0-9]+ ms' apiary delegate echo x --detach --keep 1h
used 4 || fail "not four: $(apiary kept ls)"

# Whoever had to do with it may go.
kill -KILL "$daemon" "$queen"
wait "$daemon" "$queen" 2>/dev/null
expect 0 '^hello$' apiary kept fetch "$small"
expect 1 'no such luck' apiary kept fetch "$failed"
: >"$dir/open"
"$APIARY_BIN/apiaryd" -c "$dir/kept.yaml" 2>>"$dir/log" & daemon=$!
"$APIARY_BIN/apiary" queen s -c "$dir/kept.yaml" 2>>"$dir/log" & queen=$!
expect 0 '^through$' apiary kept fetch "$waits" --wait 2m
[ "$(apiary kept fetch "$large" | wc -c)" = 100000 ] || fail "large: gone with its queen"
expect 0 '"ok":true' sh -c "'$APIARY_BIN/apiary' kept fetch $small --json | tr -d ' \n'"

# Where tasks are looked at, it is not said to be lost; nothing happens to it.
expect 1 "task $small has ended, and its result is kept; 'apiary kept fetch $small' prints it" apiary task show "$small"
expect 1 "task $small has ended, and its result is kept; 'apiary kept fetch $small' prints it" apiary task cancel "$small"
expect 0 '^hello$' apiary kept fetch "$small"

# One that is forgotten makes room, as one whose time is over does.
expect 0 '^$' apiary kept forget "$large"
expect 1 'no result is kept' apiary kept fetch "$large"
expect 1 'its result was taken or it was given up' apiary task show "$large"
expect 1 'no result is kept' apiary kept forget "$large"
short=$(apiary delegate echo brief --detach --keep 1ms) || fail "no room after one was forgotten"
until_true used 3
expect 1 'no result is kept' apiary kept fetch "$short"
expect 0 . apiary delegate echo again --detach --keep 1h
expect 64 'not a task id' apiary kept fetch hello
expect 0 '' "$APIARY_BIN/shmdump" "$segment" --verify

kill "$queen" "$daemon"
wait "$queen" "$daemon"
ends
