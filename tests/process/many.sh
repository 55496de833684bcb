#!/bin/bash
# Ten thousand services with a hundred thousand entries, of four processes, one of which is killed (many.c says what is asked).
# ctest: timeout 900
# ctest: address
set -u
segment=/apiary-many-$$
export APIARY_SEGMENT=$segment
. "$APIARY_SOURCE/tests/process/lib_leftovers.sh" || exit 1
clear_leftovers apiary-many
trap 'end_of $segment; wait 2>/dev/null; rm -f /dev/shm$segment' EXIT
services=10000
[ -z "$APIARY_SANITIZE" ] || services=1000

"$APIARY_TEST_BIN/many" "$segment" "$services" 4 || exit 1
out=$("$APIARY_BIN/shmdump" "$segment" --verify) || {
    echo "not sound: $out"
    exit 1
}
