#!/bin/bash
# Operations on the memory and on claims are linearizable, also those of the killed. See linear.c; the long one is full/linear.sh.
# ctest: timeout 900
# ctest: not thread
set -eu
exec "$APIARY_TEST_BIN/linear" --operations "${LINEAR_OPERATIONS:-20000}" --kills "${LINEAR_KILLS:-20}" \
    --stops "${LINEAR_STOPS:-5}" ${LINEAR_SEED:+--seed "$LINEAR_SEED"} "$@"
