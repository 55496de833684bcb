#!/bin/bash
# The storm of process/storm.sh, ten minutes of it: more than 5,000 kills.
# ctest: serial
# ctest: timeout 3600
set -eu
STORM_QUEEN=${STORM_QUEEN:-3500} STORM_CLIENT=${STORM_CLIENT:-1500} STORM_DAEMON=${STORM_DAEMON:-200} STORM_PAUSE=${STORM_PAUSE:-500} \
    STORM_ATTACH=${STORM_ATTACH:-500} exec bash "$APIARY_SOURCE/tests/process/storm.sh"
