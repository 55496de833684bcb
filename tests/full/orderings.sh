#!/bin/bash
# ctest: timeout 7200
# Weakens every labelled release store (and compare-and-swap, and, or, add) to a relaxed one, label by label, in a copy of the
# tree, and runs unit tests under the thread sanitizer. What tests/ORDERINGS.md says of it in its last column must be so:
# `tsan` is noticed, anything else need not be. Fences are left alone: the sanitizer does not know them.
set -u
source=$APIARY_SOURCE
work=$APIARY_BUILD/orderings
rows=$source/tests/ORDERINGS.md
tests=(shm_task shm_queue shm_pool shm_lane registry_threads registry_task registry_client monitor loop worker queen)
failures=0

rm -rf "$work" && mkdir -p "$work/tree" && cp -r "$source"/{CMakeLists.txt,CMakePresets.json,cmake,core,shm,registry,agents,tools,tests,perf} "$work/tree"
cat >"$work/weak.h" <<'WEAK'
#define w_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define w_cas(p, e, d) __atomic_compare_exchange_n(p, e, d, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
#define w_or_acq_rel(p, v) __atomic_fetch_or(p, v, __ATOMIC_RELAXED)
#define w_and_acq_rel(p, v) __atomic_fetch_and(p, v, __ATOMIC_RELAXED)
#define w_add_acq_rel(p, v) __atomic_fetch_add(p, v, __ATOMIC_RELAXED)
WEAK
cmake -S "$work/tree" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER="$CC" -DAPIARY_SANITIZE=thread \
    -DAPIARY_TESTS=unit -DAPIARY_TESTING=ON -DCMAKE_C_FLAGS="-include $work/weak.h" >"$work/log" 2>&1 || { tail "$work/log"; exit 1; }
launcher=
setarch -R true 2>/dev/null && launcher="setarch -R"

build()
{
    cmake --build "$work/build" --target "${tests[@]/#/test_}" >>"$work/log" 2>&1
}

# The first test that fails now, if any.
noticed()
{
    for test in "${tests[@]}"; do
        TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 APIARY_PLUGINS=$work/build/plugins timeout 300 \
            $launcher "$work/build/tests/test_$test" --jobs 2 >"$work/out" 2>&1 || { echo "$test"; return; }
        grep -qE "WARNING: ThreadSanitizer|Warning! The test" "$work/out" && { echo "$test"; return; }
    done
    echo -
}

# weaken LABEL: in all places where it is said to pair something; prints how many.
weaken()
{
    grep -rlE "\b$1 pairs" "$work/tree"/{shm,registry,agents} --include='*.c' --include='*.h' | while IFS= read -r file; do
        awk -v label="$1 pairs" '
            index($0, label) { armed = 3 }
            armed > 0 && /ap_(store_release|cas|or_acq_rel|and_acq_rel|add_acq_rel)\(/ && !/^[ *]*\*/ {
                sub(/ap_(store_release|cas|or_acq_rel|and_acq_rel|add_acq_rel)\(/, "w&"); sub(/wap_/, "w_"); armed = 0; n++
            }
            armed > 0 { armed-- }
            { print }
            END { print n + 0 >"/dev/stderr" }' "$file" >"$work/new" 2>>"$work/count" && cp "$work/new" "$file"
    done
}

build || { tail "$work/log"; exit 1; }
first=$(noticed)
[ "$first" = - ] || { echo "$first fails as it is"; cat "$work/out"; exit 1; }
for label in ${ORDERINGS:-$(grep -oE '^\| [A-Z]+-R[0-9]+' "$rows" | cut -c3-)}; do
    : >"$work/count"
    weaken "$label"
    places=$(awk '{ n += $1 } END { print n + 0 }' "$work/count")
    if [ "$places" -eq 0 ]; then
        by="no place"
    else
        build || { echo "$label: does not build"; tail -n 5 "$work/log"; failures=$((failures + 1)); }
        by=$(noticed)
    fi
    printf '%-12s %2s places weakened, noticed by %s\n' "$label" "$places" "$by"
    if grep -E "^\| $label \|" "$rows" | grep -q '| tsan' && [ "$by" = - ]; then
        echo "$label: the row says that the thread sanitizer notices it"
        failures=$((failures + 1))
    fi
    for layer in shm registry agents; do cp -r "$source/$layer" "$work/tree/"; done
done
[ "$failures" -eq 0 ]
