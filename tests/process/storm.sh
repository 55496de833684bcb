#!/bin/bash
# Kills queens, clients and the daemon under load, and what else storm.c has; the books must balance. The long one is full/storm.sh.
# ctest: serial
# ctest: timeout 900
# ctest: not thread
set -eu
exec "$APIARY_TEST_BIN/storm" --bin "$APIARY_BIN" --plugin "$APIARY_PLUGINS/stormy.so" \
    --queen "${STORM_QUEEN:-12}" --client "${STORM_CLIENT:-4}" --daemon "${STORM_DAEMON:-2}" --pause "${STORM_PAUSE:-2}" --attach "${STORM_ATTACH:-4}" \
    --clients 3 --seconds "${STORM_SECONDS:-0}" ${STORM_SEED:+--seed "$STORM_SEED"} "$@"
