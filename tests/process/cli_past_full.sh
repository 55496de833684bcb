#!/bin/bash
# A full disk below the history: told once, delegations go on, and the history goes on when there is room again, with a gap for the time
# between. The disk may only be read: the same.
if [ -z "${APIARY_PAST_MOUNT-}" ]; then
    unshare --mount true 2>/dev/null || { echo 'skipped: no right to make a mount namespace'; exit 77; }
    APIARY_PAST_MOUNT=1 exec unshare --mount "$0"
fi
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
trap 'umount -l "$folder/small"; cleanup' EXIT
mkdir "$folder/small"
mount -t tmpfs -o size=1m,mode=700 none "$folder/small" || { echo 'skipped: no right to mount'; exit 77; }

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64}
swarms:
  - service: other
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
END
start "$folder/daemon" apiaryd --config "$config" --state "$folder/small"
until_true grep -q created "$folder/daemon"
start "$folder/other" apiary queen other --config "$config"
until_true apiary wait --all -c "$config" --timeout 1s

sums() # sums EXPRESSION VALUE
{
    apiary history --json --step 10s --state "$folder/small" >"$folder/json" 2>/dev/null || return
    [ "$(python3 - "$folder/json" "$1" <<'PYTHON'
import json, sys
j = json.load(open(sys.argv[1]))
done = sum(r.get("done", 0) for s in j["steps"] for r in s["rows"])
print(eval(sys.argv[2]))
PYTHON
    )" = "$2" ]
}
until_true sums 'j["first_ms"] is not None' True
expect 0 'x' apiary delegate echo x --timeout 5m
until_true sums done 1

dd if=/dev/zero of="$folder/small/filler" bs=4k status=none 2>/dev/null
until_true grep -q 'the history is not kept: .*full' "$folder/daemon"
expect 0 'x' apiary delegate echo x --timeout 5m
rm "$folder/small/filler"
until_true grep -q 'the history is kept again' "$folder/daemon"
[ "$(grep -c 'the history is not kept' "$folder/daemon")" -eq 1 ] || fail "told more than once: $(cat "$folder/daemon")"
until_true sums 'len(j["gaps"])' 1
expect 0 'x' apiary delegate echo x --timeout 5m
until_true sums 'done' 2
ends
