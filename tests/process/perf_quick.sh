#!/bin/bash
# Round trips, streams, batches and a crowd by apiary-perf, for a few milliseconds: every baseline that this machine has carries its
# messages (each is checked by who receives it), and `compare` reads what was written. The figures are not looked at; what --json
# prints is: one JSON value of the schema's number, in which each baseline has its figures, its ratio and its part of every block,
# and the ratios are those of the blocks. Of the cases of the memory each peer is there, or is said to be missing.
# ctest: timeout 600
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
"$perf" --quick --json raw discover-10k memory get hold notice >"$folder/several.json" || { echo "several cases: exit code $?"; exit 1; }
"$perf" --json list >"$folder/list.json" || { echo "list: exit code $?"; exit 1; }
"$perf" compare "$folder/rtt.json" "$folder/rtt.json" >"$folder/same" || { echo "compare: exit code $?"; exit 1; }
"$perf" --json compare "$folder/rtt.json" "$folder/rtt.json" >"$folder/compared.json" || { echo "compare: exit code $?"; exit 1; }
python3 - "$folder" <<'P'
import json, math, statistics, sys

failures = 0


def expect(right, text):
    global failures
    if not right:
        print(text)
        failures += 1


def not_json(name):
    raise ValueError(f"{name} is no JSON")


def load(name):  # as strict as others' readers are: no NaN, no name twice in an object
    def once(pairs):
        assert len(dict(pairs)) == len(pairs), f"{name}: a name stands twice among {[k for k, _ in pairs]}"
        return dict(pairs)

    with open(f"{sys.argv[1]}/{name}.json") as f:
        return json.load(f, parse_constant=not_json, object_pairs_hook=once)


def result(d):
    case, names = d["case"], set(d["baselines"])
    alone = {"raw", "memory"}  # has no baseline: it is one, or measures no time
    expect(d["schema"] == 1, f"{case}: schema {d['schema']}")
    expect(bool(names) == (case not in alone), f"{case}: baselines {sorted(names)}")
    expect(not names & set(d["missing"]), f"{case}: both there and missing: {names & set(d['missing'])}")
    expect(all(d["missing"].values()), f"{case}: missing without a reason")
    for what, had in ("ratio", d["ratio"]), ("spread", d["spread"]["ratio"]), *((b, d["bins"][b]["ratio"]) for b in d["bins"]):
        expect(set(had) == names, f"{case}: {what} of {sorted(had)}, baselines {sorted(names)}")
    expect(len(d["each"]) == d["blocks"] == sum(b["blocks"] for b in d["bins"].values()), f"{case}: {d['blocks']} blocks")
    for block in d["each"]:
        expect(set(block["baselines"]) == names, f"{case}: a block has {sorted(block['baselines'])}")
        expect(block["bin"] in d["bins"], f"{case}: a block in {block['bin']}")
    for name in names:
        ratios = [b["ns"] / b["baselines"][name] for b in d["each"]]
        expect(math.isclose(d["ratio"][name], statistics.median(ratios), rel_tol=1e-6),
               f"{case}: {d['ratio'][name]} by {name}, its blocks have {ratios}")
    points = ["p50", "p90", "p99", "p999", "p9999", "max"]
    for name, b in (("its own", d["ns"]), *d["baselines"].items()) if d["blocks"] else ():
        expect([b[p] for p in points] == sorted(b[p] for p in points), f"{case}: {name} {b}")
        expect(b["p50"] > 0, f"{case}: {name} has carried nothing")
    expect(not d["blocks"] or d["per_second"] > 0, f"{case}: no figure of its own")
    expect(d["blocks"] or d["table"], f"{case}: neither figures nor a table")
    print(case, *sorted(names))


least = {"rtt": {"ck_ring", "eventfd", "futex", "pipe", "raw", "seqpacket"}, "stream-many": {"seqpacket"}}
for case in "rtt", "stream", "batch", "stream-many", "wake":
    d = load(case)
    expect(d["case"] == case, f"{case}: calls itself {d['case']}")
    expect(least.get(case, {"raw"}) <= set(d["baselines"]), f"{case}: only {sorted(d['baselines'])}")
    result(d)
several = load("several")
expect([d["case"] for d in several] == ["raw", "discover-10k", "memory", "get", "hold", "notice"],
       "several: not the cases that were asked for, in order")
for d in several:
    result(d)
# Each peer is there, or it is said why not.
for d in several[3:]:
    peers = {"redis", "memcached", "lmdb"}
    expect(peers <= set(d["baselines"]) | set(d["missing"]), f"{d['case']}: {sorted(d['baselines'])}, missing {d['missing']}")
names = [c["case"] for c in load("list")]
expect(len(names) == len(set(names)) > 30, f"list: {names}")
compared = load("compared")
expect("all" in [v["bin"] for v in compared], f"compare: {compared}")
for v in compared:
    expect(v["case"] == "rtt" and v["ratio"][0] == v["ratio"][1] and v["change"] == 1, f"compare: not like itself: {v}")
sys.exit(failures != 0)
P
