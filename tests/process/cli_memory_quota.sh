#!/bin/bash
# What one name space may hold of the memory, from the command line, also after writers were killed.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

echo "meta_registry: {segment: $segment, lanes: 64, members: 64, memory_values: 16, memory_quota: 25}" >"$dir/quota.yaml"
"$APIARY_BIN/apiaryd" -c "$dir/quota.yaml" 2>"$dir/log" & daemon=$!
there() { [ -e /dev/shm$segment ] && "$APIARY_BIN/apiary" memory scan >/dev/null 2>&1; }
until_true there

for key in a b c d; do expect 0 . apiary memory put $key x --local s; done
expect 5 'holds its quota.*4 of 4 values\).*memory_quota' apiary memory put e x --local s
expect 5 'holds its quota' apiary memory incr n --local s
expect 0 . apiary memory put a another --local s
expect 0 . apiary memory put e x
expect 0 . apiary memory put e x --local other
expect 0 '^over_quota +2 ' apiary memory stats
for ((n = 0; n < 10;)); do killed_within apiary memory put d $n --local s && n=$((n + 1)); done
expect 0 '' apiary memory delete d --local s
put() { "$APIARY_BIN/apiary" memory put e x --local s >/dev/null 2>&1; }
until_true put
expect 5 'holds its quota' apiary memory put f x --local s

kill "$daemon"
wait "$daemon"
ends
