#!/bin/bash
# ctest: serial
# ctest: timeout 7200
# A sample of small changes to the library, one at a time: each must be noticed by some test, or tests/mutants/explained.txt says
# why it changes nothing for anybody. MUTANTS_COUNT (40), MUTANTS_SEED. The listed ones are always among them.
exec python3 "$APIARY_SOURCE/tests/mutants/mutants.py" --listed --count "${MUTANTS_COUNT:-40}" ${MUTANTS_SEED:+--seed "$MUTANTS_SEED"}
