#!/bin/bash
# Claims by hand: one at a time has a key, with a token that grows. A holder that is killed has it no longer, at once, without a daemon:
# who waits has it then, in the order in which they came, the killed ones among them passed over.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

cat >"$dir/claim.yaml" <<END
meta_registry: {segment: $segment, lanes: 64, members: 64, claims: 8}
swarms: []
END
"$APIARY_BIN/apiaryd" -c "$dir/claim.yaml" 2>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done
number() { apiary claim ls --json | tr -d ' \n' | grep -o "\"$1\":[0-9]*" | head -1 | cut -d: -f2; }
waiting() { [ "$(number waiting)" = "$1" ]; }
held() { [ "$(number held)" = "$1" ]; }

# ---- by hand

expect 0 '^key +token +pid +service +expires in +waiting' apiary claim ls --wide
first=$(apiary claim acquire door --ttl 1h) || fail "acquire"
expect 1 'another has the claim' apiary claim acquire door
expect 1 'another has the claim' apiary claim acquire door --steal
expect 0 "^$first\$" apiary claim acquire door --existing
expect 0 '"granted":false' sh -c 'apiary claim acquire door --existing --json | tr -d " \n"'
expect 0 '^$' apiary claim check door "$first"
expect 1 "not its key's" apiary claim check door "$((first + 1))"
expect 1 "not its key's" apiary claim check window "$first"
expect 0 '^$' apiary claim renew door "$first" --ttl 2h
expect 0 '"expires_in_ns":7[12][0-9]{11}' sh -c "apiary claim renew door $first --ttl 2h --json | tr -d ' \n'"
expect 0 "door +$first +- +- +[12]h .* 0" apiary claim ls --wide
expect 1 'another has the claim' apiary claim acquire door --wait=50ms
expect 0 '^$' apiary claim release door "$first"
expect 1 "not its key's" apiary claim release door "$first"
second=$(apiary claim acquire door --ttl 1ms) || fail "again"
[ "$second" -gt "$first" ] || fail "the token is $second after $first"
until apiary claim acquire door --ttl 1h >"$dir/third"; do turn; done 2>/dev/null
third=$(cat "$dir/third")
[ "$third" -gt "$second" ] || fail "the token is $third after $second"
expect 1 "not its key's" apiary claim renew door "$second"
expect 0 '^$' apiary claim release door "$third"
expect 64 'no key' apiary claim acquire ''
expect 64 'not a token' apiary claim check door x
expect 64 'not a duration' apiary claim acquire door --ttl never
expect 64 'one or the other' apiary claim acquire door --steal --existing

# ---- full

for i in 1 2 3 4 5 6 7 8; do apiary claim acquire "key-$i" >"$dir/key-$i" || fail "key-$i"; done
expect 5 'table is full.*claims' apiary claim acquire key-9
for i in 1 2 3 4 5 6 7 8; do apiary claim release "key-$i" "$(cat "$dir/key-$i")" || fail "key-$i"; done
held 0 || fail "held after all were released: $(apiary claim ls)"

# ---- with a command; from here on nobody looks after the dead but who wants the key

kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
expect 3 '' apiary claim run door -- sh -c 'exit 3'
expect 0 '^door [0-9]+$' apiary claim run door -- sh -c 'apiary claim check "$APIARY_CLAIM_KEY" "$APIARY_CLAIM_TOKEN" && echo "$APIARY_CLAIM_KEY $APIARY_CLAIM_TOKEN"'
expect 127 'No such file' apiary claim run door -- "$dir/no-such-program"
expect 64 'usage' apiary claim run door
held 0 || fail "held after its command: $(apiary claim ls)"

"$APIARY_BIN/apiary" claim run door -- bash -c "echo \$\$ >$dir/pid; mv $dir/pid $dir/command; read -r <> <(:)" & holder=$!
until [ -e "$dir/command" ]; do turn; done
expect 1 'another has the claim' apiary claim run door -- true
expect 0 "door +[0-9]+ +$holder " apiary claim ls --wide
waiters=()
for i in 1 2 3 4 5; do
    "$APIARY_BIN/apiary" claim run door --wait -- sh -c "echo $i >>$dir/order" & waiters+=($!)
    until_true waiting "$i"
done
kill -KILL "${waiters[0]}" "${waiters[2]}"
wait "${waiters[0]}" "${waiters[2]}" 2>/dev/null
[ ! -e "$dir/order" ] || fail "somebody had it beside its holder"
kill -KILL "$holder"
wait "$holder" 2>/dev/null
wait "${waiters[1]}" "${waiters[3]}" "${waiters[4]}" || fail "a waiter failed"
[ "$(tr -d '\n' <"$dir/order")" = 245 ] || fail "the order was $(tr '\n' ' ' <"$dir/order")"
over() { ! [ -e "/proc/$1" ] || grep -qE "^[0-9]+ .*\\) [ZX] " "/proc/$1/stat"; }
until_true over "$(cat "$dir/command")" # it was killed with its holder
[ "$(number freed)" = 1 ] && [ "$(number waited)" = 3 ] || fail "counts: $(apiary claim ls --json)"

# One that is stopped loses what others take after its time, and says so when it goes on.
"$APIARY_BIN/apiary" claim run door --ttl 300ms -- bash -c "touch $dir/runs; read -r <> <(:)" 2>"$dir/told" & holder=$!
until [ -e "$dir/runs" ]; do turn; done
kill -STOP "$holder"
until token=$(apiary claim acquire door --steal --ttl 1h 2>/dev/null); do turn; done
kill -CONT "$holder"
wait "$holder"
[ $? -eq 1 ] || fail "it lost the claim, and ended otherwise"
grep -q 'taken by another' "$dir/told" || fail "it does not say so: $(cat "$dir/told")"
expect 0 '^$' apiary claim check door "$token"
expect 0 . "$APIARY_BUILD/examples/fencing"
expect 0 '' "$APIARY_BIN/shmdump" "$segment" --verify
expect 0 '"key":"door"' sh -c "'$APIARY_BIN/shmdump' --json $segment | tr -d ' \n'"
ends
