#!/bin/bash
# No task is run before its time, and none is lost, while queens and the daemon are killed. The long one is full/later.sh.
# ctest: timeout 900
# ctest: not thread
set -eu
exec "$APIARY_TEST_BIN/later" --bin "$APIARY_BIN" --plugin "$APIARY_PLUGINS/timely.so" --tasks "${LATER_TASKS:-10000}" --kills "${LATER_KILLS:-9}"
