#!/bin/bash
# Three processes that offer one capability, one of them slow and one failing, and each policy of balancing for some seconds: the failing
# one gets next to nothing after the first second, where chance gives it a third; and no caller loses a task.
# ctest: not thread
# ctest: not address
set -u
perf=$APIARY_BIN/apiary-perf
[ -x "$perf" ] || { echo "skipped: apiary-perf was not built"; exit 77; }
figures=$(mktemp) || exit 1
trap 'rm -f "$figures"' EXIT

"$perf" balance now >/dev/null 2>&1
[ $? -eq 64 ] || { echo "a word too many was taken"; exit 1; }
"$perf" balance --json --seconds 6 >"$figures" || { echo "exit code $?"; exit 1; }
python3 - "$figures" <<'P'
import json, sys

rows = {r["policy"]: r for r in json.load(open(sys.argv[1]))}
for row in rows.values():
    print(row)
assert set(rows) == {"least_loaded", "peak_ewma", "keyed", "round_robin", "random"}, rows
assert rows["random"]["at_failing"] > 0.2, "random"
for policy in set(rows) - {"random"}:
    assert rows[policy]["at_failing"] < 0.02, policy
    assert rows[policy]["failed"] == rows[policy]["at_failing"], policy
P
