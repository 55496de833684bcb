#!/bin/bash
# The overload of apiary-perf, for two seconds: refusals say when to retry, health probes are answered, and work is done in time. How
# much, and how fast, is a measurement, which a loaded machine does not allow.
# ctest: not thread
# ctest: not address
set -u
perf=$APIARY_BIN/apiary-perf
[ -x "$perf" ] || { echo "skipped: apiary-perf was not built"; exit 77; }
json=$("$perf" --json --seconds 2 overload) || { echo "exit code $?: $json"; exit 1; }
python3 - "$json" <<'P'
import json, sys
rows = {r["what"]: r["value"] for r in json.loads(sys.argv[1])["table"]}
assert rows["capacity"] > 0 and rows["goodput by capacity"] > 0, rows
assert rows["refusals with a time to retry after"] == 1, rows
assert rows["health probes answered"] > 0 and rows["health probes refused"] == 0, rows
P
