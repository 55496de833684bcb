"""lib_oracles.py CALLER KINDS.JSON QUEEN: what the built-in kinds answer, compared with what somebody else does.

Each property generates a request, and says what is right of the answer. The seed is printed; with --seed the same requests come again.
"""
import argparse
import csv
import hashlib
import hmac
import html
import io
import itertools
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from fractions import Fraction


class Caller:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def many(self, calls):
        """(error, agent code, bytes, seconds) of each (capability, bytes), in order."""
        def write():
            for capability, body in calls:
                self.process.stdin.write(b"%s %d\n" % (capability.encode(), len(body)) + body)
            self.process.stdin.flush()
        writer = threading.Thread(target=write)
        writer.start()
        answers = []
        for capability, body in calls:
            line = self.process.stdout.readline().split()
            if len(line) != 4:
                sys.exit("the caller ended at %s %r" % (capability, body[:300]))
            answers.append((line[0].decode(), int(line[1]), self.process.stdout.read(int(line[2])), int(line[3]) / 1e6))
        writer.join()
        return answers


def dump(value):
    return json.dumps(value, ensure_ascii=False).encode()


class Wrong(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Wrong(what)


# ---- values

def number(r):
    return r.choice([0, 1, 1.0, -1, 0.5, 2**53, 2**53 + 1, 2.0**53, -2**63, 2**63 - 1, 1e300, 0.1, 0.3, r.randint(-9, 9), r.random()])


def text(r, alphabet="ab .,\"\\\n<&'é蜂\t"):
    return "".join(r.choice(alphabet) for _ in range(r.randint(0, 12)))


def value(r, depth=2):
    kind = r.randint(0, 7 if depth else 5)
    if kind <= 2:
        return number(r)
    if kind == 3:
        return text(r)
    if kind <= 5:
        return r.choice([None, True, False])
    if kind == 6:
        return [value(r, depth - 1) for _ in range(r.randint(0, 3))]
    return {r.choice(["a", "b", "a.b", "x" * 130]): value(r, depth - 1) for _ in range(r.randint(0, 3))}


def same(a, b):
    """As JSON has it: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b  # Python compares an int with a float exactly
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def near(a, b, scale=1.0):
    return abs(a - b) <= 1e-9 * max(1.0, abs(b), scale)


# ---- properties: r -> (capability, request, judge(answer))

def rules(r):
    facts = {k: value(r) for k in ("a", "b", "a.b", "c") if r.random() < 0.8}
    conditions = []
    for _ in range(r.randint(0, 2)):
        op = r.choice(["==", "!=", "<", ">=", "in", "present", "absent"])
        path = r.choice(["a", "b", "a.b", "c", "c.a", "a.b.a"])
        other = value(r) if r.random() < 0.5 else facts.get(path, 1)
        if op == "in":
            other = [value(r) for _ in range(2)] + ([other] if r.random() < 0.5 else [])
        conditions.append([path, op] if op in ("present", "absent") else [path, op, other])
    missing = object()

    def find(o, path):
        if not isinstance(o, dict):
            return missing
        if path in o:
            return o[path]
        for i in range(len(path) - 1, -1, -1):  # the longest name first
            if path[i] == "." and path[:i] in o:
                found = find(o[path[:i]], path[i + 1:])
                if found is not missing:
                    return found
        return missing

    def holds(condition):
        found, op = find(facts, condition[0]), condition[1]
        if op in ("present", "absent"):
            return (found is missing) == (op == "absent")
        other = condition[2]
        if found is missing:
            return op == "!="
        if op in ("==", "!="):
            return same(found, other) == (op == "==")
        if op == "in":
            return any(same(found, one) for one in other)
        plain = [not isinstance(v, bool) and isinstance(v, (int, float)) for v in (found, other)]
        if all(plain):
            return found < other if op == "<" else found >= other
        if isinstance(found, str) and isinstance(other, str):
            x, y = found.encode(), other.encode()
            return x < y if op == "<" else x >= y
        return False

    fired = all(holds(c) for c in conditions)
    return "business_rules", {"rules": [{"name": "r", "if": conditions, "then": 1}], "facts": facts}, \
        lambda a: expect(a == {"fired": [{"rule": "r", "then": 1}] if fired else []}, fired)


def consensus(r):
    n = r.randint(1, 120)
    votes = {"m%d" % i: r.choice("abc"[:r.randint(1, 3)]) for i in range(n)}
    quorum = r.choice([0, 0.5, r.randint(0, 99) / 100, r.randint(0, 999) / 1000])
    counts = {}
    for vote in votes.values():
        counts[vote] = counts.get(vote, 0) + 1
    most = max(counts.values())
    first = sorted(v for v in counts if counts[v] == most)
    decided = len(first) == 1 and most > Fraction(str(quorum)) * n

    def judge(a):
        expect(a["decided"] == decided and a["of"] == n and a["votes"] == most, (decided, n, most))
        expect(a["winner"] == (first[0] if len(first) == 1 else None), first)
        expect(a.get("tied", first) == first, first)
    return "swarm_consensus", {"votes": votes, "quorum": quorum}, judge


def decision(r):
    names = ["c%d" % i for i in range(r.randint(1, 4))]
    criteria = {c: r.choice([-3, -1, -0.3, 0.1, 0.2, 0.3, 1, 2]) for c in names}
    options = {"o%d" % i: {c: r.choice([0, 1, 2, 0.1, 0.5, 10]) for c in names} for i in range(r.randint(1, 5))}
    exact = lambda x: Fraction(str(x))
    total = sum(abs(exact(w)) for w in criteria.values())
    scores = {}
    for o, values in options.items():
        score = Fraction(0)
        for c, w in criteria.items():
            column = [exact(v[c]) for v in options.values()]
            if max(column) > min(column):
                scaled = (exact(values[c]) - min(column)) / (max(column) - min(column))
                score += abs(exact(w)) * (scaled if w > 0 else 1 - scaled)
        scores[o] = score / total
    order = sorted(options, key=lambda o: (-scores[o], list(options).index(o)))

    def judge(a):
        expect([row["option"] for row in a["ranking"]] == order and a["decision"] == order[0], order)
        expect(all(near(row["score"], float(scores[row["option"]])) for row in a["ranking"]), "scores")
    return "decision_making", {"criteria": criteria, "options": options}, judge


def from_csv(r):
    columns = ["c%d" % i for i in range(r.randint(1, 4))]
    end = r.choice(["\r\n", "\n", "\r"])
    # Python quotes what ends its own lines only.
    rows = [{c: text(r, "ab,\" é" + (end if "\n" in end else "")) for c in columns} for _ in range(r.randint(0, 5))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row[c] for c in columns])
    given = out.getvalue() + r.choice(["", "", "\n", "\r\n\r\n"])
    read = list(csv.DictReader(io.StringIO(given, newline="")))
    return "format_conversion", {"from": "csv", "to": "json", "text": r.choice(["", "\ufeff"]) + given}, \
        lambda a: expect(a["rows"] == read, read)


def to_csv(r):
    columns = ["c%d" % i for i in range(r.randint(1, 4))]
    rows = [{c: text(r, "ab,\"\n é") for c in columns} for _ in range(r.randint(1, 5))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([row[c] for c in columns])
    return "format_conversion", {"from": "json", "to": "csv", "rows": rows}, lambda a: expect(a["text"] == out.getvalue(), out.getvalue())


def describe(r):
    values = [r.choice([r.randint(-100, 100), r.uniform(-1e6, 1e6), 0.1]) for _ in range(r.randint(1, 40))]

    def judge(a):
        scale = max(abs(v) for v in values) * len(values)
        expect(a["n"] == len(values) and near(a["sum"], math.fsum(values), scale), "sum")
        expect(near(a["mean"], statistics.fmean(values), scale) and near(a["median"], statistics.median(values)), "mean, median")
        expect(len(values) == 1 or near(a["stddev"], statistics.stdev(values), scale), "stddev")
        expect(a["min"] == min(values) and a["max"] == max(values), "bounds")
    return "statistics", {"values": values}, judge


def line(r):
    points = [[r.randint(-50, 50) / 4, r.randint(-50, 50) / 4] for _ in range(r.randint(2, 20))]
    n, xs, ys = len(points), [Fraction(p[0]) for p in points], [Fraction(p[1]) for p in points]
    mx, my = sum(xs) / n, sum(ys) / n
    xx = sum((x - mx)**2 for x in xs)
    if xx == 0:
        return "model_training", {"points": points}, 400
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / xx
    return "model_training", {"points": points}, lambda a: expect(
        near(a["slope"], float(slope)) and near(a["intercept"], float(my - slope * mx)), float(slope))


def query(r):
    names = ["t%d" % i for i in range(r.randint(1, 5))]
    tables = {t: r.choice([1, 3, 10, 100, 0.3, 1000]) for t in names}
    joins = [[*r.sample(names, 2), r.choice([0.1, 0.5, 1, 0.01])] for _ in range(r.randint(0, 5))] if len(names) > 1 else []
    selectivity = {}
    for x, y, s in joins:
        key = frozenset((x, y))
        selectivity[key] = selectivity.get(key, Fraction(1)) * Fraction(str(s))

    def cost(order):
        rows, total = Fraction(1), Fraction(0)
        for i, t in enumerate(order):
            rows *= Fraction(str(tables[t]))
            for u in order[:i]:
                rows *= selectivity.get(frozenset((t, u)), 1)
            total += rows
        return total
    best = min(itertools.permutations(names), key=lambda order: (cost(order), [names.index(t) for t in order]))
    return "query_optimization", {"tables": tables, "joins": joins}, lambda a: expect(
        tuple(a["order"]) == best and near(a["cost"], float(cost(best))), (best, float(cost(best))))


def components(r):
    names = "abcdef"[:r.randint(1, 6)]
    needs = {n: sorted(set(r.choice(names) for _ in range(r.randint(0, 3)))) for n in names}
    reach = {n: set() for n in names}
    for n in names:
        stack = list(needs[n])
        while stack:
            m = stack.pop()
            if m not in reach[n]:
                reach[n].add(m)
                stack.extend(needs[m])
    cycles, seen = [], set()
    for n in names:
        if n in reach[n] and n not in seen:
            one = [m for m in names if m == n or (m in reach[n] and n in reach[m])]
            seen.update(one)
            cycles.append(one)

    def judge(a):
        expect(a["cycles"] == cycles, cycles)
        expect([c["reach"] for c in a["components"]] == [len(reach[n] - {n}) for n in names], "reach")
    return "component_analysis", {"dependencies": needs}, judge


def schedule(r):
    names = ["t%d" % i for i in range(r.randint(1, 10))]
    tasks = {t: {"takes": r.randint(0, 9), "after": r.sample(names[:i], r.randint(0, min(2, i)))} for i, t in enumerate(names)}
    workers = r.randint(1, 4)
    way = {}
    for t in names:
        way[t] = tasks[t]["takes"] + max((way[b] for b in tasks[t]["after"]), default=0)
    least = max(max(way.values()), sum(t["takes"] for t in tasks.values()) / workers)

    def judge(a):
        at = {row["task"]: row for row in a["schedule"]}
        expect(at.keys() == tasks.keys() and a["critical_path"] == max(way.values()), "all tasks")
        for t, row in at.items():
            expect(row["end"] - row["start"] == tasks[t]["takes"], t)
            expect(all(at[b]["end"] <= row["start"] for b in tasks[t]["after"]), t)
        for x, y in itertools.combinations(a["schedule"], 2):
            expect(x["worker"] != y["worker"] or x["end"] <= y["start"] or y["end"] <= x["start"], (x, y))
        expect(a["length"] == max(row["end"] for row in at.values()), "length")
        expect(a["length"] <= (2 - 1 / workers) * least + 1e-9, "Graham's bound")
    return "task_scheduling", {"workers": workers, "tasks": tasks}, judge


def mac(r):
    key, message = text(r), text(r)
    right = hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()
    return "message_authentication", {"op": "sign", "key": key, "message": message}, lambda a: expect(a["mac"] == right, right)


def escape(r):
    given = text(r)
    right = html.escape(given, quote=True).replace("&#x27;", "&#39;")
    return "html_escaping", given.encode(), lambda a: expect(a.decode() == right, right)


def count_words(r):
    given = text(r, "ab \t\né蜂\u00a0\u2003.")
    right = (given.count("\n"), len(given.split()), len(given.encode()))
    return "text_metrics", given.encode(), lambda a: expect(tuple(map(int, a.split())) == right, right)


def expand(r):
    given = text(r, "ab \t\t\né.")
    return "code_formatting", given.encode(), lambda a: expect(a.decode() == given.expandtabs(4), given.expandtabs(4))


def roles(r):
    roles_of = {"root": ["admin"], "bee": ["reader", "writer"], "ant": ["reader"]}
    subject, action = r.choice(["root", "bee", "ant", "wasp"]), r.choice(["read", "write", "rest"])
    resource = r.choice(["comb", "comb/1", "gate", "comb/../gate", "./comb", "comb/a..b", "comb/"])
    if any(part in (".", "..") for part in resource.split("/")):
        return "authorization", {"subject": subject, "action": action, "resource": resource}, 400
    allowed = any(role == "admin" or (role == "reader" and action == "read") or
                  (role == "writer" and action == "write" and resource.startswith("comb/")) or
                  (action == "rest" and resource == "comb") for role in roles_of.get(subject, []))
    return "authorization", {"subject": subject, "action": action, "resource": resource}, \
        lambda a: expect(a["allowed"] == allowed, allowed)


def partition(r):
    items, members = ["i%d" % i for i in range(r.randint(0, 30))], ["m%d" % i for i in range(r.randint(1, 5))]

    def judge(a):
        expect(sorted(a["assignment"]) == sorted(members), "members")
        expect(sorted(i for of in a["assignment"].values() for i in of) == sorted(items), "items")
    return "work_partitioning", {"items": items, "members": members}, judge


PROPERTIES = [rules, consensus, decision, from_csv, to_csv, describe, line, query, components, schedule, mac, escape, count_words,
              expand, roles, partition]


def judged(name, request, answer, judge):
    error, code, data, _ = answer
    try:
        if isinstance(judge, int):
            expect(error == "APIARY_EAGENT" and code == judge, "agent_code %d" % judge)
            return
        expect(error == "OK", "an answer")
        judge(data if isinstance(request, bytes) else json.loads(data))
    except Wrong as wrong:
        shown = request.decode(errors="replace") if isinstance(request, bytes) else dump(request).decode()
        sys.exit("%s\n  request  %s\n  answer   %s %d %s\n  expected %s" %
                 (name, shown[:3000], error, code, data.decode(errors="replace")[:3000], wrong.args[0]))


def ask(caller, name, made):
    """Each of (capability, request, judge), in order."""
    calls = [(capability, request if isinstance(request, bytes) else dump(request)) for capability, request, _ in made]
    answers = caller.many(calls)
    for (_, request, judge), answer in zip(made, answers):
        judged(name, request, answer, judge)
    print("%-18s %6d, the slowest %.3f s" % (name, len(made), max((a[3] for a in answers), default=0)), flush=True)


# ---- versions: Elixir's Version and npm's semver

def version(r, odd=False):
    part = lambda: str(r.choice([0, 1, 2, 3, 10, 20240115123456, 10**20]))
    pre = r.choice(["", "", "", "-rc.1", "-rc.2", "-alpha", "-0", "-1", "-a.b.1", "-" + "x" * 70])
    made = ".".join(part() for _ in range(3)) + pre + r.choice(["", "", "+b.01"])
    if not odd or r.random() < 0.7:
        return made
    at = r.randint(0, len(made))
    return made[:at] + r.choice(["", "0", ".", "-", "+", "x", "é", " "]) + made[at + r.randint(0, 1):]


def requirement(r):
    def comparison():
        op = r.choice(["==", "!=", "!", ">", ">=", "<", "<=", "~>", ""])
        v = version(r)
        if op == "~>" and r.random() < 0.5:
            numbers, rest = v.split("+")[0].split("-", 1)[0], v.split("+")[0].split("-", 1)[1:]
            v = ".".join(numbers.split(".")[:2]) + ("-" + rest[0] if rest else "")
        return op + r.choice(["", " "]) + v
    return (r.choice([" and ", " or "])).join(comparison() for _ in range(r.choice([1, 1, 2, 3])))


ELIXIR = r"""
for line <- IO.stream(:stdio, :line) do
  [r, v] = line |> String.trim_trailing("\n") |> String.split("\t")
  IO.puts(case {Version.parse_requirement(r), Version.parse(v)} do
    {{:ok, requirement}, {:ok, version}} -> Version.match?(version, requirement, allow_pre: false)
    {:error, _} -> "requirement"
    _ -> "version"
  end)
end
"""


def by_elixir(pairs):
    if not shutil.which("elixir"):
        return None
    given = "".join("%s\t%s\n" % pair for pair in pairs)
    done = subprocess.run(["elixir", "-e", ELIXIR], input=given.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return done.stdout.decode().split("\n")[:-1]


def check_versions(caller, r, inputs):
    pairs = [(requirement(r), version(r, odd=True)) for _ in range(inputs)]
    right = by_elixir(pairs)
    if right is None:
        print("versions           skipped: elixir is not here")
        return
    made = []
    for (asked, v), said in zip(pairs, right):
        request = {"versions": [v], "requirement": asked}
        judge = 400 if said in ("requirement", "version") else \
            lambda a, v=v, said=said: expect(a["matching"] == ([v] if said == "true" else []), said)
        made.append(("version_resolution", request, judge))
    ask(caller, "versions", made)


def check_sorting(caller, r, inputs):
    semver = "/usr/lib/node_modules/npm/node_modules/semver"
    script = "const s=require(%s);const l=JSON.parse(require('fs').readFileSync(0));" \
        "console.log(JSON.stringify(l.map(v=>v.sort((a,b)=>s.compare(a,b)))))" % json.dumps(semver)
    small = lambda: ".".join(str(r.randint(0, 3)) for _ in range(3)) + r.choice(["", "-rc.1", "-rc.10", "-rc", "-1", "-x-y", "+b"])
    lists = [[small() for _ in range(r.randint(0, 12))] for _ in range(inputs)]
    try:
        done = subprocess.run(["node", "-e", script], input=json.dumps(lists).encode(), stdout=subprocess.PIPE, check=True,
                              stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        print("sorting            skipped: node with npm's semver is not here")
        return
    ask(caller, "sorting", [("version_sorting", "\n".join(given).encode(),
                             lambda a, right=right: expect(a.decode().split() == right, right))
                            for given, right in zip(lists, json.loads(done.stdout))])


# ---- packages: all choices tried

def fits(needs, v):
    op, wanted = needs.split()
    x, y = tuple(map(int, v.split("."))), tuple(map(int, wanted.split(".")))
    return {"==": x == y, ">=": x >= y, "<": x < y, "!=": x != y}[op]


def check_packages(caller, r, inputs):
    inputs = min(inputs, 240)  # of the registry's 1000 packages each trial has four for itself
    publish, asked = [], []
    for trial in range(inputs):
        names = ["t%d_%s" % (trial, n) for n in "abcd"]
        needs = lambda: {r.choice(names): "%s %d.0.0" % (r.choice(["==", ">=", "<", "!="]), r.randint(1, 3))
                         for _ in range(r.choice([0, 1, 1, 2]))}
        releases = {n: {"%d.0.0" % v: needs() for v in range(1, r.randint(1, 3) + 1)} for n in names}
        for n, of in releases.items():
            for v, requires in of.items():
                publish.append(("package_registry", {"op": "publish", "name": n, "version": v, "requires": requires},
                                lambda a: expect(a == {"published": True}, "published")))
        wanted = {r.choice(names): "%s %d.0.0" % (r.choice([">=", "==", "<"]), r.randint(1, 3)) for _ in range(2)}

        def sound(chosen, releases=releases, wanted=wanted):
            every = [wanted] + [releases[n][v] for n, v in chosen.items()]
            return all(n in chosen and fits(q, chosen[n]) for requires in every for n, q in requires.items())
        choices = [[None, *of] for of in releases.values()]
        possible = any(sound({n: v for n, v in zip(releases, one) if v}) for one in itertools.product(*choices))
        asked.append(("package_management", {"requires": wanted},
                      (lambda a, sound=sound: expect(sound(a["resolved"]), "a set that fits")) if possible else 409))
    ask(caller, "publish", publish)
    ask(caller, "packages", asked)


# ---- what is kept

def check_cache(caller, r, inputs):
    made, model = [], {}
    for _ in range(inputs):
        key = r.choice("abcd")
        if r.random() < 0.4:
            model[key] = value(r)
            made.append(("cache_put", {"key": key, "value": model[key]}, lambda a: expect(a["stored"] is True, "stored")))
        elif r.random() < 0.2:
            made.append(("cache_delete", {"key": key}, lambda a, there=key in model: expect(a["deleted"] == there, there)))
            model.pop(key, None)
        else:
            made.append(("cache_get", {"key": key}, lambda a, there=key in model, v=model.get(key): expect(
                a["hit"] == there and (not there or same(a["value"], v)), v)))
    ask(caller, "cache", made)


def check_records(caller, r, inputs):
    made, model = [], {}
    parts = lambda key: tuple(p for p in key.split("/"))
    firsts = ("user", "u", "user-1", "1")  # others are what the rubbish has left
    for _ in range(inputs):
        key = "/".join(r.choice(firsts) for _ in range(r.randint(1, 3)))
        what = r.random()
        if what < 0.4:
            model[key] = value(r)
            made.append(("data_persistence", {"op": "put", "key": key, "value": model[key]}, lambda a: expect(a["stored"], "stored")))
        elif what < 0.6:
            made.append(("data_persistence", {"op": "delete", "key": key},
                         lambda a, there=key in model: expect(a == {"deleted": there}, there)))
            model.pop(key, None)
        elif what < 0.9:
            made.append(("data_persistence", {"op": "get", "key": key}, lambda a, there=key in model, v=model.get(key): expect(
                a["found"] == there and (not there or same(a["value"], v)), v)))
        else:
            keys = sorted(model, key=parts)
            made.append(("data_persistence", {"op": "list"}, lambda a, keys=keys: expect(
                sorted((k for k in a["keys"] if parts(k)[0] in firsts), key=parts) == keys and not a["more"], keys)))
            if len(keys) > 1:
                made.append(("data_persistence", {"op": "list", "limit": 1},
                             lambda a: expect(len(a["keys"]) == 1 and a["more"], "one, and more")))
    ask(caller, "records", made)


# ---- rubbish: what a schema refuses is refused, and nothing is a fault of the agent's

def mutated(r, example):
    changed = json.loads(json.dumps(example))
    if not isinstance(changed, dict):
        return value(r)
    for _ in range(r.randint(1, 2)):
        what, key = r.random(), r.choice(list(changed) or ["x"])
        if what < 0.2:
            changed.pop(key, None)
        elif what < 0.4:
            changed[r.choice(["stranger", "op", key + "s"])] = value(r)
        elif what < 0.7:
            changed[key] = value(r)
        elif isinstance(changed.get(key), (dict, list)) and changed[key]:
            inner = changed[key]
            inner[r.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))] = value(r)
        else:
            changed[key] = r.choice(["", "x" * 5000, -1, 10**18, 1e308, [], {}])
    return changed


def check_rubbish(caller, r, inputs, kinds, served):
    try:
        import jsonschema
    except ImportError:
        jsonschema = None
        print("                   python3's jsonschema is not here: schemas are not compared")
    for kind in kinds:
        for f in kind["functions"]:
            if f["capability"] not in served or f["request"] is None:
                continue
            example = json.loads(f["example"]["request"])
            judge = jsonschema.Draft202012Validator(f["request"]) if jsonschema else None
            given = [mutated(r, example) if r.random() < 0.9 else example for _ in range(max(20, inputs // 10))]
            bytes_of = [dump(one) if r.random() < 0.95 else dump(one)[:r.randint(0, 40)] for one in given]
            for body, answer in zip(bytes_of, caller.many([(f["capability"], body) for body in bytes_of])):
                error, code, data, _ = answer
                try:
                    valid = judge is None or judge.is_valid(json.loads(body))
                except ValueError:
                    valid = False
                fine = error == "OK" and valid or error == "APIARY_EAGENT" and (400 <= code < 500 or code == 507)
                if not fine:
                    sys.exit("%s: %r\n  valid: %s; %s %d %r" % (f["capability"], body[:2000], valid, error, code, data[:2000]))
    print("rubbish            for %d capabilities" % len(served), flush=True)


def memory_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as status:
        return next(int(row.split()[1]) for row in status if row.startswith("VmRSS:"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("caller")
    parser.add_argument("kinds")
    parser.add_argument("queen", type=int)
    parser.add_argument("--inputs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    options = parser.parse_args()
    print("seed %d (KINDS_SEED repeats it)" % options.seed, flush=True)
    with open(options.kinds, encoding="utf-8") as told:
        kinds = json.load(told)["kinds"]
    caller = Caller(options.caller)
    served = [f["capability"] for kind in kinds for f in kind["functions"] if f["capability"] not in UNSERVED]
    before = 0
    for turn in range(2):  # the second time nothing more is to be kept
        inputs = options.inputs // 2
        for prop in PROPERTIES:
            ask(caller, prop.__name__, [prop(random.Random("%d %s %d %d" % (options.seed, prop.__name__, turn, i)))
                                        for i in range(inputs)])
        check_rubbish(caller, random.Random("%d rubbish %d" % (options.seed, turn)), inputs, kinds, served)
        grown, before = memory_of(options.queen) - before, memory_of(options.queen)
    if grown > 16 * 1024:
        sys.exit("the queen has grown by %d KiB in the second half" % grown)
    for check in (check_versions, check_sorting, check_packages, check_cache, check_records):
        check(caller, random.Random("%d %s" % (options.seed, check.__name__)), options.inputs)


# Not in this queen: they hash slowly, ask other swarms, or read the whole host.
UNSERVED = ("authentication", "response_cache", "backup", "health_monitoring", "service_discovery", "swarm_coordination",
            "resource_usage", "api_gateway", "workflow_management")

main()
