#!/bin/bash
# A state directory that is full, or may only be read: what does not fit is refused, the rest works, and all of it again once there
# is room. Events that are kept in another mount namespace are told as such.
if [ -z "${APIARY_STATE_MOUNT-}" ]; then
    unshare --mount true 2>/dev/null || { echo 'skipped: no right to make a mount namespace'; exit 77; }
    APIARY_STATE_MOUNT=1 exec unshare --mount "$0"
fi
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
own=${APIARY_SEGMENT#/}
trap 'umount -l "$folder/small"; cleanup' EXIT
mkdir "$folder/small" "$folder/hidden"
mount -t tmpfs -o size=100k,mode=700 none "$folder/small" || { echo 'skipped: no right to mount'; exit 77; }

cat >"$config" <<END
meta_registry: {members: 32, lanes: 96, tasks: 512}
swarms:
  - service: store
    agents: [{name: records, kind: storage_files, capabilities: [data_persistence]}]
  - service: other
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
END
start "$folder/daemon" apiaryd --config "$config"
until_true grep -q created "$folder/daemon"
start "$folder/other" apiary queen other --config "$config"
queen_start()
{
    start "$folder/store" apiary queen store --config "$config" --state "$folder/small"
    queen=$last
}
queen_start
until_true apiary wait --all -c "$config" --timeout 1s

# ---- full

text=$(printf 'x%.0s' {1..60000})
put() { apiary delegate data_persistence "{\"op\":\"put\",\"key\":\"$1\",\"value\":\"$2\"}" --timeout 5m; }
expect 0 '"stored":true' put small fits
expect 0 '"stored":true' put first "$text"
expect 1 'write records/second: No space left on device' put second "$text"
expect 0 '"found":false' apiary delegate data_persistence '{"op":"get","key":"second"}'
expect 0 '"value":"fits"' apiary delegate data_persistence '{"op":"get","key":"small"}'
expect 0 'x$' apiary delegate echo x --timeout 5m
[ -z "$(find "$folder/small" -name '.unfinished*')" ] || fail 'what did not fit is left behind'
expect 0 '"deleted":true' apiary delegate data_persistence '{"op":"delete","key":"first"}'
expect 0 '"stored":true' put second "$text"

# ---- only to be read

kill -TERM "$queen"
wait "$queen"
mount -o remount,ro "$folder/small" || fail 'remount'
queen_start
wait "$queen"
[ $? -eq 1 ] || fail 'a queen whose agent has no folder'
why="there is no folder for its files: cannot write in $folder/small/$own/services/store: Read-only file system"
grep -q "agent records: $why" "$folder/store" || fail "it says: $(cat "$folder/store")"
expect 0 'x$' apiary delegate echo x --timeout 5m
mount -o remount,rw "$folder/small" || fail 'remount'
queen_start
until_true apiary wait store --timeout 1s
expect 0 '"value":"fits"' apiary delegate data_persistence '{"op":"get","key":"small"}'
for pid in $(jobs -p); do kill -TERM "$pid"; done
wait
expect 0 '' apiary segment rm -f "$APIARY_SEGMENT"

# ---- events where this process does not see them

start "$folder/daemon" unshare --mount sh -c 'mount -t tmpfs -o mode=700 none "$1" && exec apiaryd --config "$2" --state "$1"' - \
    "$folder/hidden" "$config"
daemon=$last
until_true nsenter --target "$daemon" --mount [ -s "$folder/hidden/$own/events.db" ]
kept() { nsenter --target "$daemon" --mount apiary events --json 2>/dev/null | grep -q '"kept_in": "'; }
until_true kept
expect 0 'daemon joined' nsenter --target "$daemon" --mount apiary events
expect 0 "\"kept_in\": \"$folder/hidden/$own\"" nsenter --target "$daemon" --mount apiary events --json
why="pid $daemon keeps them in $folder/hidden/$own, which is not to be seen from here: it is in another mount namespace"
expect 0 "$why" apiary events
expect 0 'daemon joined' apiary events
expect 0 'it is in another pid namespace, so its files are not to be seen from here' \
    unshare --pid --fork --mount-proc apiary events
ends
