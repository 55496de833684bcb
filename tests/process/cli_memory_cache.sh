#!/bin/bash
# A name space that the configuration declares a cache: what is evicted, from the command line, also after writers were killed.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

start() # CACHES
{
    echo "meta_registry: {segment: $segment, lanes: 64, members: 64, memory_values: 16, caches: $1}" >"$dir/cache.yaml"
    "$APIARY_BIN/apiaryd" -c "$dir/cache.yaml" 2>"$dir/log" & daemon=$!
}
stop()
{
    kill "$daemon"
    wait "$daemon"
}
there() { [ -e /dev/shm$segment ] && "$APIARY_BIN/apiary" memory caches 2>/dev/null | grep -q '^pages .* yes '; }
no_longer() { "$APIARY_BIN/apiary" memory caches 2>/dev/null | grep -q '^pages .* no longer '; }

start '[pages, "@local_service"]'
until_true there
expect 0 '^@local_service +yes +0 +0 +0 +0' apiary memory caches
for n in 1 2 3 4; do expect 0 . apiary memory put other$n x; done
for n in $(seq 1 20); do expect 0 . apiary memory put page$n x --namespace pages; done
expect 0 '^evicted +8 ' apiary memory stats
expect 0 '^pages +yes +12 +12 +8 +8' apiary memory caches
expect 0 '"evicted_unfetched": 8' apiary memory caches --json
for n in 1 2 3 4; do expect 0 x apiary memory get other$n; done
expect 0 '^default +global +4 +4' apiary memory spaces
expect 0 '^pages +cache +12 +12' apiary memory spaces
expect 5 . apiary memory put other5 x
for ((n = 0; n < 10;)); do killed_within apiary memory put killed$n x --namespace pages && n=$((n + 1)); done
for n in $(seq 1 20); do expect 0 . apiary memory put again$n x --namespace pages; done
for n in 1 2 3 4; do expect 0 x apiary memory get other$n; done
expect 0 '"memory_caches"' shmdump --json "$segment"

stop
start '[]'
until_true no_longer
expect 5 . apiary memory put more x --namespace pages
stop
ends
