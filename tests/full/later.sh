#!/bin/bash
# A hundred thousand tasks of process/later.sh, and a hundred kills.
# ctest: serial
# ctest: timeout 3600
set -eu
LATER_TASKS=100000 LATER_KILLS=100 exec bash "$APIARY_SOURCE/tests/process/later.sh"
