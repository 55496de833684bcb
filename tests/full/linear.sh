#!/bin/bash
# The histories of process/linear.sh with at least a million operations and 600 kills.
# ctest: serial
# ctest: timeout 3600
set -eu
LINEAR_OPERATIONS=${LINEAR_OPERATIONS:-1000000} LINEAR_KILLS=${LINEAR_KILLS:-600} LINEAR_STOPS=${LINEAR_STOPS:-200} \
    exec bash "$APIARY_SOURCE/tests/process/linear.sh"
