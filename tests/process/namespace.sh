#!/bin/bash
# A queen in a pid namespace of its own (as in a container): the others see it live, route to it, and see it die.
# ctest: not thread
set -eu
unshare --pid --fork true 2>/dev/null || { echo "skipped: no right to make a pid namespace"; exit 77; }
dir=$(mktemp -d)
segment=/apiary-namespace-$$
export APIARY_SEGMENT=$segment
. "$APIARY_SOURCE/tests/process/lib_leftovers.sh" || exit 1
clear_leftovers apiary-namespace
trap 'for job in $(jobs -p); do kill -KILL "$job" 2>/dev/null || true; done; end_of $segment; wait || true; rm -rf "$dir" /dev/shm$segment' EXIT
cat >"$dir/c.yaml" <<END
meta_registry: {segment: $segment}
swarms:
  - service: inside
    agents: [{name: echo, plugin: $APIARY_PLUGINS/ledger.so, capabilities: [inside.echo]}]
END
turn() { read -rt 0.05 <> <(:) || true; }
"$APIARY_BIN/apiaryd" -c "$dir/c.yaml" 2>"$dir/log" &
until [ -e /dev/shm$segment ]; do turn; done
for round in 1 2 3; do
    unshare --pid --fork --kill-child "$APIARY_BIN/apiary" queen inside -c "$dir/c.yaml" 2>>"$dir/log" & outer=$!
    until "$APIARY_BIN/apiary" check inside --segment "$segment" >/dev/null; do turn; done
    [ "$("$APIARY_BIN/apiary" delegate inside.echo "round $round" --segment "$segment")" = "round $round" ]
    inner=$(pgrep -P $outer)
    kill -KILL "$inner"
    while "$APIARY_BIN/apiary" check inside --segment "$segment" >/dev/null; do turn; done
    wait $outer || true
    status=0
    "$APIARY_BIN/apiary" delegate inside.echo gone --segment "$segment" 2>"$dir/err" || status=$?
    [ $status = 4 ] || { echo "round $round: exit $status instead of 4: $(cat "$dir/err")"; exit 1; }
done
if [ -z "$APIARY_SANITIZE" ]; then # whose runtime reads its options from /proc
    status=0
    unshare --mount sh -c 'umount -l /proc && exec "$@"' - "$APIARY_BIN/apiary" delegate inside.echo x 2>"$dir/err" || status=$?
    [ $status = 77 ] && grep -q '/proc does not say who this process is.*mount it' "$dir/err" ||
        { echo "without /proc: exit $status: $(cat "$dir/err")"; exit 1; }
fi
"$APIARY_BIN/shmdump" "$segment" --verify
echo "three queens in pid namespaces of their own lived, served and died"
