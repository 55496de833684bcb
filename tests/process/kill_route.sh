#!/bin/bash
# No delegation begun after the kernel's mark is routed to the dead. See kill_route.c.
# ctest: timeout 900
# ctest: not thread
set -eu
exec "$APIARY_TEST_BIN/kill_route" --bin "$APIARY_BIN" --plugin "$APIARY_PLUGINS/ledger.so" --kills "${KILLS:-20}"
