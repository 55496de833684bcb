#!/bin/bash
# ctest: timeout 7200
# The larger runs of the models: tests/model.sh.
MODEL_TIER=full exec bash "$APIARY_SOURCE/tests/model.sh"
