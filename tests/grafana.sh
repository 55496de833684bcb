#!/bin/bash
# The dashboard for Grafana: each metric and label that it names is counted, each panel has a name of its own, and, where there is a
# promtool, each expression is one.
set -u
cd "$APIARY_SOURCE" || exit 1
command -v python3 >/dev/null || { echo 'python3 is missing; it reads the JSON here'; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

python3 - tools/grafana/apiary.json registry/monitor/counters.def "$work/rules.yaml" <<'PYTHON' || exit 1
import json, re, sys

dashboard, counters, rules = sys.argv[1:]
text = open(counters).read()
scopes = {m[1]: set(re.findall(r'"(\w+)"', m[2])) for m in re.finditer(r"^AP_COUNTER_SCOPE\((\w+), (.*)\)", text, re.M)}
labels, kinds = {"up": set()}, {}
for m in re.finditer(r"^AP_COUNTER(?:_BY)?\((\w+), (\w+), \w+, (\w+), (?:\"(\w*)\", \w+)?", text, re.M):
    name, kind, scope, own = m.groups()
    for suffix in ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]:
        labels[name + suffix] = scopes[scope] | ({own} if own else set()) | ({"le"} if suffix == "_bucket" else set())
assert len(labels) > 80, len(labels)

wrong, seen, records = [], set(), []
board = json.load(open(dashboard))
variables = {v["name"] for v in board["templating"]["list"]} | {"__rate_interval"}
for panel in board["panels"]:
    title = panel["title"]
    if title in seen:
        wrong.append(f"two panels are called '{title}'")
    seen.add(title)
    if panel["type"] == "row":
        continue
    if not panel["targets"] or not panel.get("description"):
        wrong.append(f"{title}: no target, or no description")
    for target in panel["targets"]:
        expr, there = target["expr"], set()
        for name in re.findall(r"\$(\w+)", expr):
            if name not in variables:
                wrong.append(f"{title}: ${name} is no variable")
        for name, chosen in re.findall(r"\b(apiary_\w+|up)\b(?:\{([^}]*)\})?", expr):
            if name not in labels:
                wrong.append(f"{title}: {name} is not counted")
                continue
            there |= labels[name] | {"job", "instance"}
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen):
                if label not in labels[name] | {"job", "instance"}:
                    wrong.append(f"{title}: {name} has no label {label}")
        for group in re.findall(r"\b(?:by|ignoring) \(([^)]*)\)", expr):
            for label in re.split(r",\s*", group):
                if label not in there:
                    wrong.append(f"{title}: by {label}, which nothing there has")
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            if label not in there:
                wrong.append(f"{title}: the legend has {label}, which nothing there has")
        for name, value in {"service": ".*", "percentile": "0.99", "__rate_interval": "1m"}.items():
            expr = expr.replace(f"${name}", value)
        records.append(expr)
print("\n".join(wrong))
if wrong:
    sys.exit(1)
with open(rules, "w") as out:
    json.dump({"groups": [{"name": "g", "rules": [{"record": f"panel:{i}", "expr": e} for i, e in enumerate(records)]}]}, out)
print(f"{len(seen)} panels and rows, {len(records)} expressions")
PYTHON
command -v promtool >/dev/null || {
    echo 'promtool is missing: the expressions were not parsed'
    exit 0
}
promtool check rules "$work/rules.yaml" >"$work/said" 2>&1 || {
    cat "$work/said"
    exit 1
}
