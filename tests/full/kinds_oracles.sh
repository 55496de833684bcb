#!/bin/bash
# process/kinds_oracles.sh with 10,000 requests for each property.
# ctest: timeout 7200
set -eu
KINDS_INPUTS=${KINDS_INPUTS:-10000} exec bash "$APIARY_SOURCE/tests/process/kinds_oracles.sh"
