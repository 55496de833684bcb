#!/bin/bash
# The storm of process/storm.sh for at least ten minutes and more than 5,000 kills.
# ctest: serial
# ctest: timeout 7200
set -eu
STORM_QUEEN=${STORM_QUEEN:-3500} STORM_CLIENT=${STORM_CLIENT:-1500} STORM_DAEMON=${STORM_DAEMON:-200} STORM_PAUSE=${STORM_PAUSE:-500} \
    STORM_ATTACH=${STORM_ATTACH:-500} STORM_SECONDS=${STORM_SECONDS:-600} exec bash "$APIARY_SOURCE/tests/process/storm.sh" \
    --holder 100 --exec 200 --threads 200 --namespace 100 --bystander 500 --closed 200
