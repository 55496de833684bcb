#!/bin/bash
# Members that go in unusual ways give back what they had: exec from a thread, exec and kill with what ended threads left, also in
# a pid namespace of their own, detach with living threads, handlers that do not come back.
# ctest: not thread
set -u
dir=$(mktemp -d)
segment=/apiary-leaving-$$
export APIARY_SEGMENT=$segment
. "$APIARY_SOURCE/tests/process/lib_leftovers.sh" || exit 1
clear_leftovers apiary-leaving
failures=0
trap 'for job in $(jobs -p); do kill -KILL "$job" 2>/dev/null || true; done; end_of $segment; wait 2>/dev/null; rm -rf "$dir" /dev/shm$segment' EXIT
cat >"$dir/c.yaml" <<END
meta_registry: {segment: $segment, lanes: 64, members: 64}
swarms:
  - service: left
    workers: 1
    agents: [{name: leaver, plugin: $APIARY_PLUGINS/leaver.so, capabilities: [left.echo]}]
END
turn() { read -rt 0.05 <> <(:) || true; }
fail()
{
    echo "$*"
    failures=$((failures + 1))
}
# $1 what: exit code 0 of leaving with the rest.
leaves()
{
    local what=$1
    shift
    "$APIARY_TEST_BIN/leaving" "$1" "$segment" left.echo "$2" >"$dir/out" 2>"$dir/err" </dev/null || fail "$what: $(cat "$dir/err")"
}
# Waits until nothing but the daemon's and the queen's lanes and slabs are there, as before.
lanes() { "$APIARY_BIN/shmdump" "$segment" --json | tr -d ' \n' | grep -o '"kind":"\(thread\|shared\)"' | wc -l; }
given_back() { until [ "$(lanes)" = "$before" ]; do turn; done; }
start() # the other end of its input is descriptor 9, its output is read from 8
{
    rm -f "$dir/in" "$dir/told"
    mkfifo "$dir/in" "$dir/told"
    "$@" <"$dir/in" >"$dir/told" 2>"$dir/err" & member=$!
    exec 9>"$dir/in" 8<"$dir/told"
    read -r line <&8 || fail "$*: $(cat "$dir/err")"
}

"$APIARY_BIN/apiaryd" -c "$dir/c.yaml" 2>"$dir/log" &
until [ -e /dev/shm$segment ]; do turn; done
"$APIARY_BIN/apiary" queen left -c "$dir/c.yaml" 2>>"$dir/log" & queens=$!
until "$APIARY_BIN/apiary" check left --segment "$segment" >/dev/null; do turn; done
[ "$("$APIARY_BIN/apiary" delegate left.echo x --segment "$segment")" = x ] || fail "the service does not answer"
until now=$(lanes) && turn && [ "$(lanes)" = "$now" ]; do :; done
before=$now

leaves "exec from a thread" exec 130
given_back

start "$APIARY_TEST_BIN/leaving" threads "$segment" left.echo 50
echo exec >&9
given_back
kill -0 "$member" || fail "the program that was executed has ended"
kill -KILL "$member"; wait "$member" 2>/dev/null

start "$APIARY_TEST_BIN/leaving" threads "$segment" left.echo 50
kill -KILL "$member"; wait "$member" 2>/dev/null
given_back

if unshare --pid --fork true 2>/dev/null; then
    start unshare --pid --fork --kill-child "$APIARY_TEST_BIN/leaving" threads "$segment" left.echo 50
    kill -KILL "$(pgrep -P "$member")"; wait "$member" 2>/dev/null
    given_back
else
    echo "no right to make a pid namespace: that part is skipped"
fi

start "$APIARY_TEST_BIN/leaving" rounds "$segment" left.echo 40
given_back # its eight threads are alive
echo >&9
wait "$member" || fail "rounds: exit $?: $(cat "$dir/err")"
leaves "detach by another thread" across 130
given_back

# As many as there are members, less the daemon's and the queen's; one more has advice that helps.
leaves "many handles in one thread" handles 58
given_back
"$APIARY_TEST_BIN/leaving" handles "$segment" left.echo 70 2>"$dir/err" </dev/null && fail "more handles than members"
grep -q "raise members or lanes" "$dir/err" || fail "no advice: $(cat "$dir/err")"
given_back

if [ -z "$APIARY_SANITIZE" ]; then # whose runtime is the program's
    "$APIARY_TEST_BIN/dlopened" "$APIARY_BIN/../lib/libapiary.so" "$segment" left.echo || fail "dlopened: exit $?"
    given_back
fi

# Handlers that end their thread, or become another program: what they had in hand runs again, until that is enough; what they
# would have taken goes to others. Each finds three queens to end, and a fourth.
queens()
{
    for pid in $queens; do kill -KILL "$pid"; wait "$pid" 2>/dev/null; done
    queens=
    for i in 0 1 2 3; do
        "$APIARY_BIN/apiary" queen left -i "$i" -c "$dir/c.yaml" 2>>"$dir/log" & queens+=" $!"
    done
    until "$APIARY_BIN/apiary" check left --segment "$segment" | grep -q "passing=4"; do turn; done
}
for body in exit exec; do
    queens
    "$APIARY_BIN/apiary" delegate left.echo $body -t 60s --segment "$segment" >"$dir/out" 2>"$dir/err"
    grep -q "crashed its worker" "$dir/err" || fail "$body: exit $?: $(cat "$dir/out" "$dir/err")"
    [ "$("$APIARY_BIN/apiary" delegate left.echo y -t 60s --segment "$segment")" = y ] || fail "$body: the fourth does not answer"
done
queens
for n in 1 2 3; do
    [ "$("$APIARY_BIN/apiary" delegate left.echo reply -t 60s --segment "$segment")" = reply ] || fail "reply $n"
done
for n in 1 2 3 4 5; do
    [ "$("$APIARY_BIN/apiary" delegate left.echo "z$n" -t 60s --segment "$segment")" = "z$n" ] || fail "a queue without a worker"
done

"$APIARY_BIN/shmdump" "$segment" --verify >"$dir/out" || fail "not sound: $(cat "$dir/out")"
[ "$failures" -eq 0 ] || exit 1
echo "all was given back"
