#!/bin/bash
# The same with 200 kills.
# ctest: serial
# ctest: timeout 1800
set -eu
KILLS=200 exec bash "$APIARY_SOURCE/tests/process/kill_route.sh"
