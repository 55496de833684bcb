#!/bin/bash
# Parts of results under kills of writers and readers: each part once, in order, per attempt. See stream.c.
# ctest: timeout 600
set -eu
exec "$APIARY_TEST_BIN/stream" --kills "${KILLS:-60}" ${SEED:+--seed "$SEED"}
