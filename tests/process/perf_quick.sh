#!/bin/bash
# Round trips, streams, batches and a crowd by apiary-perf, for a few milliseconds: every baseline that this machine has carries its
# messages (each is checked by who receives it), and `compare` reads what was written. The figures are not looked at.
# ctest: not thread
# ctest: not address
set -u
perf=$APIARY_BIN/apiary-perf
[ -x "$perf" ] || { echo "skipped: apiary-perf was not built"; exit 77; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

for case in rtt stream batch stream-many wake; do
    "$perf" --quick --json "$case" >"$folder/$case.json" || { echo "$case: exit code $?"; exit 1; }
done
"$perf" compare "$folder/rtt.json" "$folder/rtt.json" >"$folder/same" || { echo "compare: exit code $?"; exit 1; }
python3 - "$folder" <<'P'
import json, sys

failures = 0
for case in "rtt", "stream", "batch", "stream-many", "wake":
    d = json.load(open(f"{sys.argv[1]}/{case}.json"))
    d = d[0] if isinstance(d, list) else d
    names = sorted(d["baselines"])
    least = {"rtt": ["ck_ring", "eventfd", "futex", "pipe", "raw", "seqpacket"], "stream-many": ["seqpacket"]}.get(case, [])
    for name in names:
        if not d["baselines"][name]["p50"] > 0 or not d["ratio"][name] > 0:
            print(f"{case}: {name} has carried nothing")
            failures += 1
    for name in least:
        if name not in names:
            print(f"{case}: no {name}")
            failures += 1
    if not d["ns"]["p50"] > 0 or not d["per_second"] > 0 or d["case"] != case:
        print(f"{case}: no figure of its own")
        failures += 1
    print(case, *names)
sys.exit(failures != 0)
P
