#!/bin/bash
# A client that never gives its results back gets its share of the task table and of the blocks, and another one is served beside it;
# it is told why, and check names it.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<CONFIG
meta_registry: {members: 16, lanes: 32, tasks: 1024, services: 8, payload: {blocks_256B: 64, blocks_4KiB: 16}}
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

# ---- a process that calls for no service has a bound of its own, whatever is free

sed "s/tasks: 1024/tasks: 4096, max_unnamed_delegations: 100/" "$config" >"$folder/bounded.yaml"
start "$folder/daemon-b" apiaryd --segment "$APIARY_SEGMENT-b" --config "$folder/bounded.yaml"
until_true apiary --segment "$APIARY_SEGMENT-b" status
start "$folder/queen-b" apiary queen --segment "$APIARY_SEGMENT-b" echo_service --config "$folder/bounded.yaml"
until_true apiary --segment "$APIARY_SEGMENT-b" discover echo
APIARY_SEGMENT=$APIARY_SEGMENT-b start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 3
until_true grep -q 'holds [1-9]' "$folder/hold"
grep -qE '^holds 128: this process calls for no service and has room for 128 tasks; max_unnamed_delegations allows 128; retry' \
    "$folder/hold" || fail "the client ended otherwise: $(cat "$folder/hold")"
for i in {1..5}; do expect 0 '^hello$' apiary --segment "$APIARY_SEGMENT-b" delegate echo hello; done
kill -KILL "$last"
until_true sh -c "[ \"\$(apiary --segment $APIARY_SEGMENT-b status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"usage\"][\"tasks_used\"])')\" = 0 ]"

# ---- blocks of a size: a request and its result take one each

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 3000
hold=$last
until_true grep -q 'holds [1-9]' "$folder/hold"
grep -qE '^holds [0-9]+: this process holds 12 of the 16 blocks of 4096 bytes, and [0-9] are free; member_share is 75 %' "$folder/hold" ||
    fail "the client ended otherwise: $(cat "$folder/hold")"
head -c 3000 /dev/zero | tr '\0' x >"$folder/body"
for i in {1..20}; do apiary delegate echo "@$folder/body" | cmp - "$folder/body" || fail "a body of 3000 bytes beside the client"; done
expect 1 "WARNING: 'cli_hold' \(pid $hold\) holds its share of the blocks of 4.0 KiB, 12 of 16" apiary check

# ---- where requests have all that a process may hold, results go over them

kill -KILL "$hold"
until_true apiary check
start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" echo 200 unseen
hold=$last
until_true grep -q 'holds [1-9]' "$folder/hold"
grep -qE '^holds [0-9]+: this process holds [0-9]+ of the [0-9]+ blocks of' "$folder/hold" || fail "a task that was accepted: $(cat "$folder/hold")"

# ---- members: each handle is one

kill -KILL "$hold"
until_true apiary check
start "$folder/hold" "$APIARY_TEST_BIN/cli_hold"
until_true grep -q 'holds [1-9]' "$folder/hold"
n=$(sed -n 's/^holds \([0-9]*\):.*/\1/p' "$folder/hold")
expect 1 "WARNING: no free member: no other process can attach \(16 in use, $n of them by pid $last\)" apiary check
expect 5 'no free lane or member' apiary delegate echo hello
kill -KILL "$last"
until_true apiary check

# ---- names of services: 6 of 8

start "$folder/hold" "$APIARY_TEST_BIN/cli_hold" names
until_true grep -q 'holds [1-9]' "$folder/hold"
grep -q '^holds 6: this process holds its share of .*names of services$' "$folder/hold" || fail "the names end with: $(cat "$folder/hold")"
expect 0 '^hello$' apiary delegate --from another_service echo hello
kill -KILL "$last"
until_true apiary check

# ---- results that are kept, of clients that come and go: together they have a share

for i in {1..20}; do apiary delegate echo "@$folder/body" --detach --keep 1h >>"$folder/kept" || fail "not delegated: $i"; done
for i in {1..20}; do apiary delegate echo "@$folder/body" | cmp - "$folder/body" || fail "a body of 3000 bytes beside what is kept"; done
until_true sh -c "! $APIARY_BIN/shmdump $APIARY_SEGMENT --json | grep -q promised"
n=$("$APIARY_BIN/shmdump" "$APIARY_SEGMENT" --json |
    python3 -c 'import json, sys; print(*(c["kept"] for c in json.load(sys.stdin)["pool"] if c["size"] == 4096))')
[ "$n" -eq 8 ] || fail "$n of 16 blocks are kept"

# ---- and in JSON

head -c 3000000 /dev/zero >"$folder/large"
apiary delegate --json echo "@$folder/large" >"$folder/json"
python3 - "$folder/json" <<'PYTHON' || fail "a refusal in JSON: $(cat "$folder/json")"
import json, sys
o = json.load(open(sys.argv[1]))
assert o["error"] == "APIARY_ETOOLARGE" and o["retry_after_ns"] is None, o
PYTHON
[ "$failures" -eq 0 ]
