#!/bin/bash
# The unit tests of one_thread.list start no thread: their objects name nothing that does.
set -u
cd "$APIARY_SOURCE" || exit 1
command -v nm >/dev/null || { echo 'skipped: no nm (binutils)'; exit 77; }
starts=' U (pthread_create|fork|apiary_queen_start|apiary_lane_fd|ap_(queen|monitor|thread)_start|ap_(writer|worker|loop|log)_[a-z_]*|__wrap_[a-z_]*)$'
failures=0 tests=0

while read -r name; do
    tests=$((tests + 1))
    object=$APIARY_BUILD/CMakeFiles/test_${name#unit.}.dir/tests/unit/test_${name#unit.}.c.o
    if [ ! -f "$object" ]; then
        echo "tests/one_thread.list: there is no $name"
    elif found=$(nm "$object" | grep -E "$starts"); then
        echo "tests/one_thread.list: $name may start a thread:" $found
    else
        continue
    fi
    failures=$((failures + 1))
done < <(grep '^[a-z]' tests/one_thread.list)
[ "$tests" -gt 0 ] || { echo 'tests/one_thread.list names none'; exit 1; }
echo "$tests tests, $failures failures"
[ "$failures" -eq 0 ]
