#!/bin/bash
# Who died holding what: a queen with tasks in hand and a client with a claim are killed where nobody is left to recover them, and a
# copy of the segment tells.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64}
swarms:
  - service: first
    agents: [{name: waiter, kind: exec, capabilities: [wait.long], config: {command: [/bin/cat, "$folder/.never"]}}]
END
mkfifo "$folder/.never" || exit 1
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
start "$folder/first" apiary queen first -c "$config"
queen=$last
until_true apiary wait --all -c "$config" --timeout 1s
expect 0 '^\[\]$' sh -c "shmdump --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"died_holding\"])'"
start "$folder/client" apiary delegate wait.long hello
client=$last
start "$folder/claim" apiary claim run the-key -- /bin/cat "$folder/.never"
claim=$last
running() { apiary task ls --json | grep -q '"running"'; }
until_true running
until_true sh -c 'apiary claim ls | grep -q the-key'
for pid in "$daemon" "$client" "$claim" "$queen"; do stop "$pid"; done
kill -KILL "$daemon" "$client" "$claim" "$queen"
wait "$daemon" "$client" "$claim" "$queen" 2>/dev/null
cp "/dev/shm$APIARY_SEGMENT" "$folder/copy"
shmdump "$folder/copy" --json >"$folder/json" || fail 'the copy is not read'
python3 - "$folder/json" "$queen" "$claim" <<'PYTHON' || fail "the JSON: $(cat "$folder/json")"
import json, sys
died = json.load(open(sys.argv[1]))["died_holding"]
of = lambda pid, key: [x for d in died if d["pid"] == int(pid) for x in d[key]]
tasks = of(sys.argv[2], "tasks")
assert [(t["capability"], t["state"], t["attempt"]) for t in tasks] == [("wait.long", "running", 1)], died
assert of(sys.argv[2], "queues") == ["first/waiter"], died
assert of(sys.argv[3], "claims") == ["the-key"], died
assert sum(d["slabs"] for d in died) >= 1, died
PYTHON
expect 0 'wait\.long.*first/waiter' shmdump "$folder/copy"
exec 9<>"$folder/.never" 9>&- # whoever still reads finds its end
exit $((failures > 0))
