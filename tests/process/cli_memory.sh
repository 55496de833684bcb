#!/bin/bash
# Keys and values from the command line: what each call does and says, that values outlive whoever has written them, and that writers
# which are killed leave the value of before or the new one.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT
flat() { "$@" --json | tr -d ' \n'; }

cat >"$dir/memory.yaml" <<END
meta_registry: {segment: $segment, lanes: 64, members: 64, memory_values: 8}
swarms:
  - {service: s, agents: [{name: counter, kind: sequence, capabilities: [sequence_number]}]}
END
"$APIARY_BIN/apiaryd" -c "$dir/memory.yaml" 2>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done

expect 1 'no such key' apiary memory get k
expect 0 '^[0-9]+$' apiary memory put k 'first value'
expect 0 '^first value$' apiary memory get k
expect 1 'already' apiary memory add k other
expect 0 '^[0-9]+$' apiary memory replace k second
expect 1 'no such key' apiary memory replace nothing x
version=$(flat apiary memory get k | grep -o '"version":[0-9]*' | tr -dc 0-9)
expect 0 '^[0-9]+$' apiary memory cas --expect "$version" k third
expect 1 'another version' apiary memory cas --expect "$version" k fourth
expect 64 'expect' apiary memory cas k fourth
expect 0 '^third$' apiary memory get k
expect 0 '^1$' apiary memory incr n
expect 0 '^-4$' apiary memory incr n -- -5
expect 1 'no whole number' apiary memory incr k
expect 64 'not a whole number' apiary memory incr n five
expect 64 'exclude' apiary memory get k --namespace a --local b
expect 64 'not a name' apiary memory get k --namespace 'A B'
expect 64 'not a duration' apiary memory put k x --ttl never
expect 64 'command is missing' apiary memory
expect 64 '1 to 255 bytes' apiary memory put '' x

# Name spaces are apart.
expect 0 . apiary memory put k elsewhere --namespace other
expect 0 . apiary memory put k 'of a swarm' --local s
expect 0 '^third$' apiary memory get k
expect 0 '^of a swarm$' apiary memory get k --local s
expect 0 '^key +bytes +version +expires in' apiary memory scan
[ "$(flat apiary memory scan | grep -o '"key":"[a-z]*"' | sort | tr '\n' ' ')" = '"key":"k" "key":"n" ' ] || fail "$(flat apiary memory scan)"
[ "$(flat apiary memory scan n | grep -o '"key":"[a-z]*"')" = '"key":"n"' ] || fail "scan n: $(flat apiary memory scan n)"

# Times.
expect 0 . apiary memory put brief x --ttl 1ms
no_brief() { ! apiary memory get brief >/dev/null 2>&1; }
until_true no_brief
expect 1 'no such key' apiary memory touch brief
expect 0 '' apiary memory touch k --ttl 1h
flat apiary memory get k | grep -qE '"expires_in_ns":3[0-9]{12}' || fail "touch: $(flat apiary memory get k)"
expect 0 '' apiary memory touch k
flat apiary memory get k | grep -q '"expires_in_ns":null' || fail "touch: $(flat apiary memory get k)"

# Large ones, and what is too large.
head -c 65536 /dev/zero | tr '\0' x >"$dir/large"
expect 0 . apiary memory put large @"$dir/large"
apiary memory get large | cmp - "$dir/large" || fail "large"
echo more >>"$dir/large"
expect 6 'larger than 64 KiB' apiary memory put large @"$dir/large"
[ "$(apiary memory get large | wc -c)" = 65536 ] || fail "what is refused changes nothing"

# Whoever had to do with it may go.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
expect 0 '^third$' apiary memory get k
"$APIARY_BIN/apiaryd" -c "$dir/memory.yaml" 2>>"$dir/log" & daemon=$!

# So may a queen: her agents' local memory is the segment's.
expect 0 '' apiary memory delete k --local s
"$APIARY_BIN/apiary" queen s -c "$dir/memory.yaml" 2>>"$dir/log" & queen=$!
expect 0 '' apiary wait --capability sequence_number --timeout 2m
expect 0 '"value":1' apiary delegate sequence_number '{"name":"n"}'
kill -KILL "$queen"
wait "$queen" 2>/dev/null
expect 0 '^1$' apiary memory get sequence:n --local s
expect 0 '^5$' apiary memory incr sequence:n 4 --local s
"$APIARY_BIN/apiary" queen s -c "$dir/memory.yaml" 2>>"$dir/log" & queen=$!
expect 0 '' apiary wait --capability sequence_number --timeout 2m
expect 0 '"value":6' apiary delegate sequence_number '{"name":"n"}'
kill "$queen"
wait "$queen"
expect 0 '' apiary memory delete sequence:n --local s

# Writers that are killed anywhere.
expect 0 . apiary memory put torn aaaa
n=0
for letter in b c d e f g h i j k; do
    n=$((n + 900))
    head -c $n /dev/zero | tr '\0' $letter >"$dir/torn"
    until_true killed_within apiary memory put torn @"$dir/torn"
    [ "$(apiary memory get torn | fold -w 1 | sort -u | wc -l)" = 1 ] || fail "two values in one: $(apiary memory get torn | head -c 40)"
done
expect 0 '' apiary memory delete torn large

# What was done is counted, by whichever process.
count() { flat apiary memory stats | grep -o "\"$1\":[0-9]*" | tr -dc 0-9; }
puts=$(count puts) conflicts=$(count conflicts) written=$(count written) removals=$(count removals)
expect 0 . apiary memory put counted 0123456789
expect 1 'another version' apiary memory cas --expect 1 counted x
expect 0 '' apiary memory delete counted
[ "$(($(count puts) - puts)) $(($(count conflicts) - conflicts)) $(($(count written) - written)) $(($(count removals) - removals))" = '1 1 10 1' ] ||
    fail "counts: $(apiary memory stats)"
expect 0 '^room +8 +values that there may be' apiary memory stats
[ "$("$APIARY_BIN/shmdump" "$segment" --json | tr -d ' \n' | grep -o '"memory_counts":{[^}]*"puts":[0-9]*' | grep -o '[0-9]*$')" = "$(count puts)" ] ||
    fail "shmdump: $("$APIARY_BIN/shmdump" "$segment" --json | grep -A9 memory_counts)"

# Each change is told to who watches, by whichever process it is made, and what came after a revision to who comes back.
expect 64 'not a revision' apiary memory watch --revision x
"$APIARY_BIN/apiary" memory watch seen >"$dir/watched" & watcher=$!
until_true grep -q synced "$dir/watched"
expect 0 . apiary memory put seen.1 x
expect 0 . apiary memory put unseen x
expect 0 . apiary memory put seen.1 xy
expect 0 '' apiary memory delete seen.1 unseen
expect 0 . apiary memory put seen.2 x --ttl 1ms
until_true grep -q 'expired .*seen.2' "$dir/watched"
[ "$(awk '{ print $1, $NF }' "$dir/watched" | tail -n +2 | tr '\n' ' ')" = 'put seen.1 put seen.1 deleted seen.1 put seen.2 expired seen.2 ' ] ||
    fail "watched: $(cat "$dir/watched")"
revision=$(awk '$1 == "deleted" { print $2 }' "$dir/watched")
kill -KILL "$watcher"
wait "$watcher" 2>/dev/null
"$APIARY_BIN/apiary" memory watch seen --revision "$revision" --json >"$dir/watched" & watcher=$!
until_true grep -q '"event": "expired"' "$dir/watched"
kill "$watcher"
wait "$watcher" || fail "a watch that is told to end ends with $?"
[ "$(grep -c '"event"' "$dir/watched")" = 2 ] || fail "from revision $revision on: $(cat "$dir/watched")"
"$APIARY_BIN/apiary" memory watch --revision 1000000 >"$dir/watched" & watcher=$!
until_true grep -q synced "$dir/watched"
head -1 "$dir/watched" | grep -q '^behind' || fail "a revision that is not known: $(cat "$dir/watched")"
kill "$watcher"
wait "$watcher"
"$APIARY_BIN/shmdump" "$segment" --json | grep -q '"memory_watched": true' || fail "shmdump does not tell that somebody watches"

# A snapshot has every value, with its version and the time that it has left; one that is not whole changes nothing.
for key in $(flat apiary memory scan | grep -o '"key":"[^"]*"' | cut -d'"' -f4); do apiary memory delete "$key"; done
expect 0 . apiary memory put kept 'a text'
expect 0 . apiary memory put brief x --ttl 1h
head -c 3000 /dev/urandom >"$dir/binary"
expect 0 . apiary memory put binary @"$dir/binary" --local s
rows() { flat apiary memory scan "$@" | grep -o '"key":"[a-z]*","size":[0-9]*,"version":[0-9]*' | sort; }
passing=$(apiary memory put passing x)
expect 0 '' apiary memory delete passing
before=$(rows; rows --local s)
expect 0 '^[0-9]+ values' apiary memory snapshot "$dir/snapshot"
[ "$(find "$dir" -name 'snapshot*' | wc -l)" = 1 ] || fail "left behind: $(ls "$dir")"
expect 1 'No such file' apiary memory snapshot "$dir/nowhere/snapshot"
expect 1 'No such file' apiary memory restore "$dir/nowhere"
cp "$dir/snapshot" "$dir/whole"
kill "$daemon"
wait "$daemon"
rm -f "/dev/shm$segment"
"$APIARY_BIN/apiaryd" -c "$dir/memory.yaml" 2>>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done
there() { "$APIARY_BIN/apiary" memory scan >/dev/null 2>&1; }
until_true there
size=$(stat -c %s "$dir/whole")
for torn in 0 7 39 55 $((size / 2)) $((size - 1)); do
    head -c "$torn" "$dir/whole" >"$dir/torn"
    expect 1 'not whole; nothing was restored' apiary memory restore "$dir/torn"
    cp "$dir/whole" "$dir/torn"
    printf '\377\001' | dd of="$dir/torn" bs=1 seek="$torn" conv=notrunc status=none
    cmp -s "$dir/torn" "$dir/whole" || expect 1 'not whole; nothing was restored' apiary memory restore "$dir/torn"
done
[ "$(rows; rows --local s)" = '' ] || fail "a file that is not whole was restored: $(apiary memory scan)"
expect 0 'values restored$' apiary memory restore "$dir/snapshot"
[ "$(rows; rows --local s)" = "$before" ] || fail "before the snapshot: $before; restored: $(rows; rows --local s)"
apiary memory get binary --local s | cmp - "$dir/binary" || fail "binary"
flat apiary memory get brief | grep -qE '"expires_in_ns":3[0-9]{12}' || fail "restored: $(flat apiary memory get brief)"
expect 0 '^0 values restored; [0-9]+ keys that are there were left as they are$' apiary memory restore "$dir/snapshot"
expect 0 '^a text$' apiary memory get kept
[ "$(apiary memory put kept later)" -gt "$passing" ] || fail "a version comes again that was given out before the snapshot"
for i in 1 2 3 4 5 6 7 8; do apiary memory put "room.$i" x >/dev/null 2>&1; done
expect 0 '' apiary memory delete kept brief
expect 0 . apiary memory put room.9 x
expect 5 'Raise memory_values' apiary memory restore "$dir/snapshot"
for i in 1 2 3 4 5 6 7 8 9; do apiary memory delete "room.$i" >/dev/null 2>&1; done
i=0
while apiary memory put "f$i" x >/dev/null 2>"$dir/err" && [ $i -lt 20 ]; do i=$((i + 1)); done
grep -q 'table is full.*memory_values' "$dir/err" || fail "full: $(cat "$dir/err")"
expect 0 '' apiary memory delete f0
expect 0 . apiary memory put room x
expect 0 '"namespace": "default"' "$APIARY_BIN/shmdump" "$segment" --json
sound() { "$APIARY_BIN/shmdump" "$segment" --verify >/dev/null; }
until_true sound

kill "$daemon"
wait "$daemon"
ends
