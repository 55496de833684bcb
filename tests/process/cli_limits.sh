#!/bin/bash
# A capability with a rate and one with a bound of what waits: one task too many is refused, is told why, and when to come again.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<CONFIG
meta_registry: {members: 32, lanes: 64, tasks: 2048}
swarms:
  - service: limited_service
    agents:
      - {name: seldom, kind: exec, capabilities: [{name: seldom, rate: 1, burst: 2}], config: {command: [cat]}}
      - {name: short, kind: exec, capabilities: [{name: short, queue_limit: 3}], config: {command: [sh, -c, 'cat $folder/gate'], concurrency: 1}}
CONFIG
mkfifo "$folder/gate"
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen limited_service --config "$config"
until_true apiary discover short
expect 0 '^rate +1 +yes' apiary capability show seldom
expect 0 '^burst +2 +yes' apiary capability show seldom
expect 0 '^queue_limit +3 +yes' apiary capability show short
expect 0 'rate 1/s, burst 2' apiary route explain seldom
expect 0 'at most 3 waiting' apiary route explain short

# ---- a rate, of all callers together

refused()
{
    ! apiary delegate --json seldom hello >"$folder/json"
}
until_true refused
python3 - "$folder/json" <<'PYTHON' || fail "a refusal in JSON: $(cat "$folder/json")"
import json, sys
o = json.load(open(sys.argv[1]))
assert o["error"] == "APIARY_ERATE" and 0 < o["retry_after_ns"] <= 1e9, o
PYTHON
until_true apiary delegate seldom hello

# ---- a bounded queue

for i in {1..4}; do start "$folder/caller.$i" apiary delegate --timeout 120s short; done
until_true sh -c "[ \$(apiary task ls | grep -c short) = 4 ]"
until_true sh -c '! apiary delegate --timeout 120s --detach short'
expect 5 "agent 'short' has 3 tasks waiting; .*queue_limit.*; retry after [0-9]+ ms" apiary delegate --timeout 120s short
[ "$failures" -eq 0 ]
