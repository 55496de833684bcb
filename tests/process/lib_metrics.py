# Reads metrics in Prometheus' text format, or with --openmetrics in that form, from standard input, and believes nothing of them.
#
#   lib_metrics.py check            all of it is well-formed: exit code 0, and how many families and samples there are
#   lib_metrics.py names            the names of the families, with _total
#   lib_metrics.py sum NAME [LABEL=VALUE...]   the sum of the samples that have these labels; exit code 1: there are none
import re
import sys

NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")
SAMPLE = re.compile(r"([a-z_][a-z0-9_]*)(?:\{(.*)\})? ([0-9]+(?:\.[0-9]+)?)\Z")
LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|\Z)')


def refuse(line, why):
    sys.exit(f"{why}: {line!r}")


def labels_of(line, text):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        if m is None:
            refuse(line, "labels that are none")
        if m[1] in labels:
            refuse(line, "a label twice")
        labels[m[1]] = re.sub(r"\\(.)", lambda e: "\n" if e[1] == "n" else e[1], m[2])
        at = m.end()
    return labels


class Reader:
    def __init__(self, openmetrics):
        self.openmetrics = openmetrics
        self.families, self.samples, self.seen = {}, [], set()
        self.family = self.type = None

    def comment(self, line):
        words = line.split(" ", 3)
        if len(words) < 4 or words[1] not in ("HELP", "TYPE", "UNIT") or not NAME.match(words[2]):
            refuse(line, "no comment that is known")
        if words[1] == "HELP":
            if words[2] in self.families:
                refuse(line, "a family twice")
            self.families[words[2]] = None
            self.family, self.type = words[2], None
        elif words[2] != self.family:
            refuse(line, "of another family")
        elif words[1] == "TYPE":
            if words[3] not in ("counter", "gauge", "histogram"):
                refuse(line, "no type")
            self.type = self.families[self.family] = words[3]
            if words[3] == "counter" and not self.openmetrics and not self.family.endswith("_total"):
                refuse(line, "a counter without _total")
        elif not self.openmetrics or not self.family.endswith("_" + words[3]):
            refuse(line, "a unit that the name lacks")

    def sample(self, line):
        m = SAMPLE.match(line)
        if m is None or self.type is None:
            refuse(line, "no sample")
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",) if self.openmetrics else ("",)}
        if m[1] not in [self.family + s for s in suffixes.get(self.type, ("",))]:
            refuse(line, "a sample of another family")
        labels = labels_of(line, m[2] or "")
        key = (m[1], tuple(sorted(labels.items())))
        if key in self.seen:
            refuse(line, "a sample twice")
        self.seen.add(key)
        self.samples.append((m[1], labels, float(m[3])))

    # Buckets are cumulative, in order, the last is of all, and as many as _count.
    def histograms(self):
        series = {}
        for name, labels, value in self.samples:
            if name.endswith("_bucket") and self.families.get(name[:-7]) == "histogram":
                key = (name[:-7], tuple(sorted((k, v) for k, v in labels.items() if k != "le")))
                series.setdefault(key, []).append((float(labels["le"]), value))
        counts = {(name[:-6], tuple(sorted(labels.items()))): v for name, labels, v in self.samples if name.endswith("_count")}
        for key, buckets in series.items():
            if buckets != sorted(buckets) or [v for _, v in buckets] != sorted(v for _, v in buckets):
                refuse(key, "buckets that do not rise")
            if buckets[-1][0] != float("inf") or counts.get(key) != buckets[-1][1]:
                refuse(key, "the last bucket has not all of them")

    def read(self, text):
        if not text.endswith("\n"):
            sys.exit("the last line has no end")
        lines = text[:-1].split("\n")
        if self.openmetrics and lines.pop() != "# EOF":
            sys.exit("the end is not marked")
        for line in lines:
            (self.comment if line.startswith("#") else self.sample)(line)
        self.histograms()
        untyped = [name for name, kind in self.families.items() if kind is None]
        if untyped:
            sys.exit(f"families without a type: {untyped}")
        return self


def main(arguments):
    openmetrics = "--openmetrics" in arguments
    arguments = [a for a in arguments if a != "--openmetrics"]
    reader = Reader(openmetrics).read(sys.stdin.read())
    if arguments[0] == "check":
        print(len(reader.families), "families,", len(reader.samples), "samples")
    elif arguments[0] == "names":
        print("\n".join(reader.families))
    else:
        wanted = dict(a.split("=", 1) for a in arguments[2:])
        found = [v for name, labels, v in reader.samples if name == arguments[1] and wanted.items() <= labels.items()]
        if not found:
            sys.exit(f"no sample of {arguments[1]} {wanted}")
        print(f"{sum(found):.9f}".rstrip("0").rstrip("."))


main(sys.argv[1:])
