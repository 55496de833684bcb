#!/bin/bash
# Thousands of services: what the page asks for its overview, /readyz, /metrics and apiary check take processor time in proportion to
# them. Each service more would cost a look at all the others, were one looked up in a list: four times as much for twice as many.
# ctest: serial
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
few=2000
# No agent here answers a probe.
echo 'meta_registry: {health_check_interval: 3600000}' >"$config"
[ -z "$APIARY_SANITIZE" ] || few=500
metrics=$(sed -n "s/^export const METRICS = '\(.*\)';\$/\1/p" "$APIARY_SOURCE/tools/dashboard/model.js")
[ -n "$metrics" ] || fail 'which metrics the page asks for is not to be found'
page=(/v1/status /v1/services "/v1/metrics?name=$metrics" /v1/stats /v1/pairs '/v1/events?limit=500')

# asked SERVICES FILE ROUNDS PATH...: into FILE the milliseconds of each path (lib_wide.py), on a host of so many services.

asked()
{
    local services=$1 file=$2 rounds=$3 wide daemon
    shift 3
    export APIARY_SEGMENT=/apiary-test-$name-$$
    mkfifo "$folder/in$services"
    : >"$folder/wide"
    "$APIARY_TEST_BIN/wide" "$APIARY_SEGMENT" "$services" <"$folder/in$services" >"$folder/wide" &
    wide=$!
    exec 8>"$folder/in$services"
    until_true grep -q ready "$folder/wide"
    APIARY_LISTEN=127.0.0.1:0 start "$folder/daemon" apiaryd --config "$config"
    daemon=$last
    served "$folder/daemon"
    python3 "$APIARY_SOURCE/tests/process/lib_wide.py" "$port" "$daemon" "$rounds" "$@" >"$file" || fail "$services services: $(cat "$file")"
    right "$services"
    kill "$daemon"
    wait "$daemon"
    exec 8>&-
    wait "$wide"
    rm -f "/dev/shm$APIARY_SEGMENT"
}

# right SERVICES: nobody is missing, and each has its own numbers.
right()
{
    body_of /v1/status | python3 -c '
import json, sys
n = int(sys.argv[1])
rows = json.load(sys.stdin)["swarms"]
assert len(rows) == n == len({r["service"] for r in rows}), (len(rows), n)
for r in rows:
    number = int(r["service"].removeprefix("service-"))
    gone, agent = number % 50 == 49, number % 10 == 0
    assert (r["state"] == "down") == gone and r["ended"] == ("left" if gone and r["ended"] else None), r
    assert (r["agents"], r["done"], r["failed"]) == ((1, 94, 6) if agent else (0, 0, 0)), r
    assert r["supervision"]["state"] == "passing" and r["supervision"]["supervised"], r
' "$1" || fail "$1 services: /v1/status is wrong"
    body_of /v1/pairs | python3 -c '
import json, sys
pairs = json.load(sys.stdin)["pairs"]
assert len(pairs) == int(sys.argv[1]) // 10 * 4, len(pairs)
assert all((p["ended"], p["failed"]) == (25, int(p["caller"].removeprefix("caller-"))) for p in pairs), pairs
' "$1" || fail "$1 services: /v1/pairs is wrong"
    body_of /v1/stats | python3 -c '
import json, sys
agents = json.load(sys.stdin)["agents"]
assert len(agents) == int(sys.argv[1]) // 10
for a in agents:
    (c,) = a["capabilities"]
    assert (c["ended"], c["failed"]) == (100, 6) and c["failures"] == [{"code": "APIARY_EAGENT", "agent_code": 7, "count": 6}], a
' "$1" || fail "$1 services: /v1/stats is wrong"
}

asked "$few" "$folder/few" 5 "${page[@]}" /readyz /metrics
asked $((2 * few)) "$folder/many" 5 "${page[@]}" /readyz /metrics
paste -d' ' "$folder/few" "$folder/many" | awk '{
    printf "%s: %.1f ms, %.1f ms for twice as many\n", $1, $2, $5
    if ($5 > 2.6 * $2 && $5 > 2) { print "FAILED: " $1 " is not linear"; failed = 1 }
} END { exit failed }' || fail 'the cost grows faster than the services'

# The figures for ten thousand, which are printed and not judged.
[ -n "$APIARY_SANITIZE" ] || {
    asked 10000 "$folder/all" 3 "${page[@]}"
    awk '{ printf "10,000 services, %s: %.1f ms, %d bytes\n", $1, $2, $3 }' "$folder/all"
}
[ "$failures" -eq 0 ]
