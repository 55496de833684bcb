#!/bin/bash
# A client that never gives its results back gets its share of the task table and of the blocks, and another one is served beside it;
# it is told why, and check names it.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<CONFIG
meta_registry: {members: 16, lanes: 32, tasks: 1024, payload: {blocks_256B: 64, blocks_4KiB: 16}}
swarms:
  - service: echo_service
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}
CONFIG
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen echo_service --config "$config"
until_true apiary discover echo

# ---- the task table: 12 of 16 parts

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 3
hold=$last
until_true grep -q 'holds [1-9]' "$folder/hold"
grep -qE '^holds 768: this process holds 12 of the 16 parts of the task table, and [1-4] are free; member_share is 75 %; retry after 10 ms$' \
    "$folder/hold" || fail "the client ended otherwise: $(cat "$folder/hold")"
for i in {1..20}; do expect 0 '^hello$' apiary delegate echo hello; done
expect 1 "WARNING: 'cli_hold' \(pid $hold\) holds its share of the parts of the task table, 12 of 16" apiary check
start "$folder/second" "$APIARY_TEST_BIN/cli_hold" echo 3
until_true grep -q 'holds [1-9]' "$folder/second"
expect 0 '^hello$' apiary delegate echo hello
kill -KILL "$hold" "$last"
until_true apiary check

# ---- blocks of a size: a request and its result take one each

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 3000
hold=$last
until_true grep -q 'holds [1-9]' "$folder/hold"
grep -qE '^holds [0-9]+: this process holds 12 of the 16 blocks of 4096 bytes, and [0-9] are free; member_share is 75 %' "$folder/hold" ||
    fail "the client ended otherwise: $(cat "$folder/hold")"
head -c 3000 /dev/zero | tr '\0' x >"$folder/body"
for i in {1..20}; do apiary delegate echo "@$folder/body" | cmp - "$folder/body" || fail "a body of 3000 bytes beside the client"; done
expect 1 "WARNING: 'cli_hold' \(pid $hold\) holds its share of the blocks of 4.0 KiB, 12 of 16" apiary check

# ---- and in JSON

head -c 3000000 /dev/zero >"$folder/large"
apiary delegate --json echo "@$folder/large" >"$folder/json"
python3 - "$folder/json" <<'PYTHON' || fail "a refusal in JSON: $(cat "$folder/json")"
import json, sys
o = json.load(open(sys.argv[1]))
assert o["error"] == "APIARY_ETOOLARGE" and o["retry_after_ns"] is None, o
PYTHON
kill -KILL "$hold"
until_true apiary check

[ "$failures" -eq 0 ]
