#!/bin/bash
# Every fuzz target for a bounded time, FUZZ_SECONDS each (60): with clang's libFuzzer in a build of its own, else by random
# mutations in the build at hand. What it finds is left in <build>/fuzz/<target>.
# ctest: timeout 7200
set -u
seconds=${FUZZ_SECONDS:-60}
mapfile -t targets < <(cd "$APIARY_SOURCE/tests/fuzz" && printf '%s\n' fuzz_*.c | sed 's/\.c$//')
found=$APIARY_BUILD/fuzz
failures=0 total=0
mkdir -p "$found"

probe='#include <stdint.h>
#include <stddef.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return data == NULL && size > 0; }'
programs=$APIARY_TEST_BIN
coverage=
if clang -x c -fsanitize=fuzzer,address,undefined -o "$found/probe" - <<<"$probe" 2>/dev/null; then
    coverage=yes
    programs=$found/build/tests
    if ! { cmake -S "$APIARY_SOURCE" -B "$found/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang \
        -DAPIARY_SANITIZE=address,undefined,fuzzer-no-link -DAPIARY_TESTS=fuzz &&
        cmake --build "$found/build" --target "${targets[@]}"; } >"$found/build.log" 2>&1; then
        grep -E 'error|Error|FAILED' "$found/build.log" | head -n 20
        exit 1
    fi
else
    echo "no clang with libFuzzer (libclang-rt-dev): random mutations without coverage"
fi

for target in "${targets[@]}"; do
    name=${target#fuzz_}
    work=$found/$name
    folders=()
    for folder in "$APIARY_SOURCE/tests/fuzz/corpus/$name" "$APIARY_SOURCE/tests/fuzz/findings/$name"; do
        [ -d "$folder" ] && folders+=("$folder")
    done
    mkdir -p "$work/new"
    cd "$work" || exit 1
    if [ -n "$coverage" ]; then
        "$programs/$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
            new "${folders[@]}" >log 2>&1
        status=$?
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' log)
        echo "$name: ${runs:-0} inputs, $(sed -n 's/^stat::average_exec_per_sec: *//p' log) a second," \
            "$(grep -oE 'cov: [0-9]+' log | tail -n 1)"
    else
        "$programs/$target" --seconds "$seconds" "${folders[@]}" >log 2>&1
        status=$?
        runs=$(sed -n 's/.* \([0-9]*\) mutations$/\1/p' log)
        cat log
    fi
    total=$((total + ${runs:-0}))
    if [ "$status" -ne 0 ]; then
        echo "$name: exit $status; the input is in $work"
        grep -vE '^#[0-9]+|NEW_FUNC' log | tail -n 40
        failures=$((failures + 1))
    fi
done
echo "$total inputs in all"
[ "$failures" -eq 0 ]
