#!/bin/bash
# A task that kills its worker each time ends in the dead set after three starts and takes nothing else down. What is there survives all
# but the segment: it can be looked at, delegated anew to a service that was mended, and discarded.
# ctest: not thread
# ctest: not address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

cat >"$dir/bad.yaml" <<END
meta_registry: {segment: $segment, lanes: 64, members: 64, dead_tasks: 4}
swarms:
  - service: s
    workers: 2
    agents:
      - {name: beside, worker: 0, kind: exec, capabilities: [beside],
         config: {command: [bash, -c, 'read -r file; until [ -e "\$file" ]; do read -rt 0.05 <> <(:); done; echo \$file']}}
      - {name: failing, worker: 0, kind: exec, capabilities: [failing],
         config: {command: [sh, -c, 'cat >/dev/null; echo no such luck >&2; exit 3']}}
      - {name: bad, worker: 1, plugin: $APIARY_PLUGINS/misbehave.so, capabilities: [bad]}
END
sed "s|plugin: .*misbehave.so|kind: exec|; s|capabilities: .bad.|&, config: {command: [sh, -c, 'cat >>$dir/got; echo >>$dir/got']}|" \
    "$dir/bad.yaml" >"$dir/mended.yaml"
queen() # until there is a file "over"
{
    while [ ! -e "$dir/over" ]; do
        "$APIARY_BIN/apiary" queen s -c "$1" 2>>"$dir/log" &
        echo $! >"$dir/pid.new" && mv "$dir/pid.new" "$dir/pid"
        wait $! 2>/dev/null
    done
}
passing() { apiary status s --json | tr -d ' \n' | grep -q '"state":"passing"'; }
entries() { [ "$(apiary dead ls --json | tr -d ' \n' | grep -o '"number":[0-9]*' | wc -l)" -eq "$1" ]; }

"$APIARY_BIN/apiaryd" -c "$dir/bad.yaml" 2>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done
queen "$dir/bad.yaml" & queens=$!
until_true passing
expect 0 '^number +capability' apiary dead ls
entries 0 || fail "there is something before anything has died"

(apiary delegate beside "$dir/go" --wait-for-provider --timeout 20m >"$dir/beside" 2>&1; echo $? >"$dir/beside.code") &
large=abort$(printf 'x%.0s' {1..300})
expect 1 'crashed its worker too often' apiary delegate bad abort --timeout 20m
until_true passing
expect 1 'crashed its worker too often' apiary delegate bad "$large" --timeout 20m
until_true passing
apiary delegate bad abort --detach >/dev/null || fail "not delegated"
until_true entries 3
touch "$dir/go"
until [ -s "$dir/beside.code" ]; do turn; done
grep -q "$dir/go" "$dir/beside" || fail "what ran beside it: $(cat "$dir/beside")"

number=$(apiary dead ls --json | tr -d ' \n' | grep -oE '"number":[0-9]+' | head -1 | cut -d: -f2)
[ "$number" = 1 ] || fail "the first has number $number"
shown() # before and after all was restarted
{
    expect 0 'bad +s/0/bad +crashed: SIGABRT' apiary dead ls --wide
    expect 0 '^why +crashed: SIGABRT$' apiary dead show 1
    expect 0 '^starts +3$' apiary dead show 1
    expect 0 '^crashes +3$' apiary dead show 1
    expect 0 '^agent +bad$' apiary dead show 1
    expect 0 '^abort$' apiary dead show 1
    expect 0 "^$large\$" apiary dead show 2
    expect 0 '"attempts": 3' apiary dead show 2 --json
    expect 0 '^number +3$' apiary dead show --capability bad --service s --cause crashed
    expect 0 '^$' apiary dead show --cause lost
    expect 64 "'odd' is none" apiary dead ls --cause odd
    expect 1 'no such task in the dead set' apiary dead show 77
    expect 64 'is not the number' apiary dead show none
    expect 64 'say which' apiary dead show
    expect 0 '' "$APIARY_BIN/shmdump" "$segment" --verify
}
shown

# All but the segment is killed.
touch "$dir/over"
kill -KILL "$daemon" "$(cat "$dir/pid")" "$queens" 2>/dev/null
wait "$daemon" "$queens" 2>/dev/null
"$APIARY_BIN/apiaryd" -c "$dir/mended.yaml" 2>>"$dir/log" &
until_true apiary dead ls
shown

expect 4 'nobody alive offers' apiary dead retry 2
entries 3 || fail "what was refused is gone"
rm "$dir/over"
queen "$dir/mended.yaml" &
until_true passing
expect 0 '^2 delegated as ' apiary dead retry 2
until_true grep -qx "$large" "$dir/got"
expect 1 'no such task in the dead set' apiary dead retry 2
expect 64 'say which' apiary dead retry
expect 0 '^1 discarded$' apiary dead discard 1
expect 0 '^3 delegated as ' apiary dead retry --capability bad --service s
until_true grep -qx abort "$dir/got"
[ "$(grep -c . "$dir/got")" -eq 2 ] || fail "run: $(cat "$dir/got")"
entries 0 || fail "left: $(apiary dead ls)"
expect 0 '^$' apiary dead purge
kept() { "$APIARY_BIN/shmdump" "$segment" --json | tr -d ' ' | grep -o '"kept":[1-9]'; }
[ -z "$(kept)" ] || fail "blocks are kept for nobody"

# What its agent fails is entered if it was tried as often as it was to be, and the oldest goes for what is one too many.
expect 1 'no such luck' apiary delegate failing x
entries 0 || fail "what was to be tried once is there: $(apiary dead ls)"
for i in 1 2 3 4 5; do
    expect 1 'no such luck' apiary delegate failing "body $i" --retry 2,backoff=1ms
done
expect 0 '^1 older ones were dropped' apiary dead ls
entries 4 || fail "of five that failed: $(apiary dead ls)"
last=$(apiary dead ls --json | tr -d ' \n' | grep -oE '"number":[0-9]+' | tail -1 | cut -d: -f2)
expect 0 '^why +failed with 3$' apiary dead show "$last"
expect 0 '^text .*no such luck' apiary dead show "$last"
expect 0 '^starts +2$' apiary dead show "$last"
expect 0 '^crashes +0$' apiary dead show "$last"
expect 0 '^body 5$' apiary dead show "$last"
expect 0 '' "$APIARY_BIN/shmdump" "$segment" --verify
expect 0 '^$' apiary dead purge --cause crashed
entries 4 || fail "what failed went with what crashed: $(apiary dead ls)"
expect 0 '^[0-9]+ discarded$' apiary dead purge --cause failed
entries 0 || fail "left: $(apiary dead ls)"

# Four that hold all blocks of their size: the oldest goes when another task needs one. What is delegated anew needs none.
head -c 300000 /dev/zero | tr '\0' x >"$dir/large"
for i in 1 2 3 4; do
    expect 1 'no such luck' apiary delegate failing "@$dir/large" --retry 2,backoff=1ms
done
entries 4 || fail "of four large ones: $(apiary dead ls)"
first=$(apiary dead ls --json | tr -d ' \n' | grep -oE '"number":[0-9]+' | head -1 | cut -d: -f2)
expect 1 'no such luck' apiary delegate failing "@$dir/large"
entries 3 || fail "none has gone for who needed a block: $(apiary dead ls)"
expect 1 'no such task in the dead set' apiary dead show "$first"
expect 0 '^2 older ones were dropped' apiary dead ls
expect 0 'oldest entry of the dead set dropped' "$APIARY_BIN/shmdump" "$segment" --events 100
expect 0 '' "$APIARY_BIN/shmdump" "$segment" --verify
expect 0 "delegated as " apiary dead retry "$((first + 1))"
until_true entries 3
expect 0 '^[0-9]+ discarded$' apiary dead purge
[ -z "$(kept)" ] || fail "blocks are kept for nobody"

touch "$dir/over"
ends
