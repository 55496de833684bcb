#!/bin/bash
# The policies of balancing in the simulation of apiary-perf, with few tasks: the same seed gives the same figures; a member that fails
# gets next to nothing after the first second; the default is never much worse than what joins the shortest queue by knowing all, and
# far better where one member is slow; whoever looks at the load is better than chance.
# ctest: timeout 900
# ctest: not thread
# ctest: not address
set -u
perf=$APIARY_BIN/apiary-perf
[ -x "$perf" ] || { echo "skipped: apiary-perf was not built"; exit 77; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

few() # few SEED FILE
{
    "$perf" simulate --tasks 300 --seconds 0.01 --json --seed "$1" >"$folder/few.$2" || { echo "seed $1: exit code $?"; exit 1; }
}
few 1 first
few 1 again
few 2 other
cmp "$folder/few.first" "$folder/few.again" || { echo "the same seed gave other figures"; exit 1; }
cmp -s "$folder/few.first" "$folder/few.other" && { echo "another seed gave the same figures"; exit 1; }
"$perf" simulate --quick --json --plot "$folder/picture.svg" >"$folder/quick.json" || { echo "exit code $?"; exit 1; }
"$perf" simulate now >/dev/null 2>&1
[ $? -eq 64 ] || { echo "a word too many was taken"; exit 1; }
python3 - "$folder" <<'P'
import json, sys
from statistics import geometric_mean
from xml.etree import ElementTree

failures = 0


def expect(right, text):
    global failures
    if not right:
        print(text)
        failures += 1


lines = [e for e in ElementTree.parse(f"{sys.argv[1]}/picture.svg").iter() if e.get("class") == "l" and "L" in e.get("d")]
expect(len(lines) == 7 * 4 * 2, f"{len(lines)} lines in the picture")
for name in ["quick"]:
    rows = json.load(open(f"{sys.argv[1]}/{name}.json"))
    by = {(r["scene"], r["service_times"], r["members"], r["policy"]): r for r in rows}
    ours = "least_loaded", "peak_ewma", "keyed", "round_robin"
    settings = {k[:3] for k in by}
    expect(len(rows) == len(by) == len(settings) * 7, f"{len(rows)} rows")
    for r in rows:
        if r["policy"] in ours:
            expect(r["at_failing"] < 0.02, f"{r['policy']} at the failing one: {r}")
            expect(r["failed"] < 0.02, f"{r['policy']} failed: {r}")

    def by_shortest(policy, figure, scene, against="join shortest"):  # over all settings of the scene
        return geometric_mean(by[(*s, policy)][figure] / by[(*s, against)][figure] for s in settings if s[0] == scene)

    for policy in "least_loaded", "peak_ewma":
        expect(by_shortest(policy, "mean", "all alike") < 1.25, f"{policy}, all alike: {by_shortest(policy, 'mean', 'all alike')}")
        for against in "random", "in turns":
            for scene in "all alike", "one slow":
                expect(by_shortest(policy, "mean", scene, against) < 0.5, f"{policy} beside {against}, {scene}")
    few = [by_shortest("peak_ewma", f, "one slow") for f in ("mean", "p99")]
    expect(few[0] < 1 and few[1] < 0.8, f"peak_ewma beside a slow member: {few}")
    print(name, by_shortest("least_loaded", "mean", "all alike"), by_shortest("peak_ewma", "mean", "all alike"), *few)
sys.exit(failures != 0)
P
