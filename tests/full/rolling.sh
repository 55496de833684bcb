#!/bin/bash
# process/up_rolling.sh with as many services as the seed names, thirteen; the time that tasks take meanwhile is printed.
# ctest: serial
# ctest: timeout 3600
set -eu
ROLLING_SERVICES=${ROLLING_SERVICES:-13} exec bash "$APIARY_SOURCE/tests/process/up_rolling.sh"
