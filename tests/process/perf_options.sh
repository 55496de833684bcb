#!/bin/bash
# What each option of a task costs is counted, each alone, beside a task without options of the same run; one that nobody uses costs
# nothing.
# ctest: not thread
# ctest: not address
# ctest: timeout 600
set -u
command -v valgrind >/dev/null || { echo "valgrind is not installed"; exit 77; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

"$APIARY_BIN/apiary-perf" --json options >"$folder/json" || exit 1
python3 - "$folder/json" <<'PYTHON'
import json, sys
o = {r["option"]: r for r in json.load(open(sys.argv[1]))["instructions"]}
steps = ("submit", "claim", "complete", "collect")
none = o.pop("none")
assert all(none[s] > 50 for s in steps), none
for name, r in o.items():
    print(f'{name:20}', *(f'{r[s] - none[s]:+9.0f}' for s in steps))
# That there are options is looked at once, at submit: 117.
assert o["options"]["submit"] - none["submit"] <= 121, (o["options"], none)
# A timeout, a term that nobody asks for and a bare name of a major are looked at as if they were not set; of a wait that is not needed
# it is seen that it is a flag.
for name, most in (("options", 0), ("timeout", 2), ("idempotent", 2), ("majors", 2), ("wait", 20)):
    assert abs(o[name]["submit"] - o["options"]["submit"]) <= most, (name, o[name], o["options"])
    assert all(abs(o[name][s] - none[s]) <= 1 for s in steps[1:]), (name, o[name], none)
# What is carried is written at submit, and by nobody else.
for name in ("hops", "trace", "retry"):
    assert o[name]["submit"] > none["submit"] + 20, (name, o[name])
    assert all(abs(o[name][s] - none[s]) <= 1 for s in ("claim", "complete")), (name, o[name])
assert o["detach"]["collect"] < 10 < o["keep"]["collect"], (o["detach"], o["keep"])
PYTHON
