#!/bin/bash
# The tracepoint "task" is in what people run: in the library and in the programs, wherever a task's state changes, with two arguments.
# ctest: not thread
# ctest: not address
set -u
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

if ! echo "#include <sys/sdt.h>" | cc -E - >/dev/null 2>&1; then
    echo 'skipped: there is no <sys/sdt.h> (systemtap-sdt-dev), so no tracepoints were built'
    exit 77
fi
ways=$(grep -c 'AP_WENT(' "$APIARY_SOURCE/shm/task.c")
for file in "$APIARY_BUILD/lib/libapiary.so.0" "$APIARY_BIN/apiary"; do
    notes=$(readelf -n "$file" 2>/dev/null | grep -A4 'Provider: apiary')
    count=$(grep -c 'Name: task$' <<<"$notes")
    [ "$count" -ge "$ways" ] || fail "$file has $count tracepoints; shm/task.c alone makes $ways"
    odd=$(grep 'Arguments:' <<<"$notes" | grep -vE 'Arguments: -?8@[^ ]+ -?8@[^ ]+$')
    [ -z "$odd" ] || fail "$file: $odd"
done
[ "$failures" -eq 0 ] || exit 1
