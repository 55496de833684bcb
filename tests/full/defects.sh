#!/bin/bash
# ctest: timeout 3600
# crash.defects with all that notices each defect, in a build of its own unless this one has the defects.
set -eu
if [ ! -x "$APIARY_TEST_BIN/sweep_defects" ]; then
    build=$APIARY_BUILD/defects
    cmake -S "$APIARY_SOURCE" -B "$build" -G Ninja -DCMAKE_C_COMPILER="$CC" -DAPIARY_TESTING=ON -DAPIARY_DEFECTS=ON \
        -DAPIARY_TESTS='unit;crash' >"$APIARY_BUILD/defects.log"
    cmake --build "$build" --target defects >>"$APIARY_BUILD/defects.log"
    export APIARY_TEST_BIN=$build/tests
fi
DEFECTS=all exec bash "$APIARY_SOURCE/tests/crash/defects.sh"
