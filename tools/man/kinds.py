#!/usr/bin/env python3
"""The manual page apiary-kinds.7, of what `apiary kinds --json` says on standard input.

apiary kinds --json | tools/man/kinds.py > tools/man/apiary-kinds.7; process.cli_kinds asks that the page is the same.
"""
import json
import sys
import textwrap

HEAD = r""".\" Made by tools/man/kinds.py of what "apiary kinds --json" says.
.Dd January 1, 2025
.Dt APIARY-KINDS 7
.Os
.Sh NAME
.Nm apiary-kinds
.Nd what the capabilities of the built-in kinds of agents take, answer and cost
.Sh DESCRIPTION
Requests and answers are JSON objects in UTF-8, but for those that are any bytes.
A request is judged before its agent sees it: a member that is not named here, a missing one, a value of another type or out of its
range fails the task with an
.Ql agent_code
of 400 (413 if there is too much of something), and the place and what would be right.
.Pp
Here a member with
.Ql \&?
may be left out, bounds are in parentheses, a text's in characters.
A
.Em whole
number is written without a point.
.Ql "one of"
several forms is told apart by its first member.
.Ql apiary kinds --json
has all of it as JSON Schema.
.Pp
A duplicate is the same request once more, because its caller tries it again, or because its agent was killed before it answered.
Each example is run by a test.
"""

TAIL = r""".Sh SEE ALSO
.Xr apiary 1 ,
.Xr apiary.yaml 5
"""

NAMES = {"string": "text", "integer": "whole", "number": "number", "boolean": "true or false", "array": "list", "object": "object",
         "null": "null"}


def bounds(schema, least, most, exclusive=None):
    low, high = schema.get(least), schema.get(most)
    below = schema.get(exclusive) if exclusive else None
    if low is None and high is None and below is None:
        return ""
    if below is not None:
        return "(%s to less than %s)" % (low, below)
    if low == high:
        return "(%s)" % low
    if high is None:
        return "(%s or more)" % low
    if low is None:
        return "(at most %s)" % high
    return "(%s to %s)" % (low, high)


def told(schema):
    if "oneOf" in schema:
        return "one of " + ",\nor ".join(told(one) for one in schema["oneOf"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(json.dumps(one) for one in schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(NAMES[one] for one in kind)
    if kind is None:
        return "any"
    if kind == "string":
        return "text" + bounds(schema, "minLength", "maxLength")
    if kind in ("integer", "number"):
        return NAMES[kind] + bounds(schema, "minimum", "maximum", "exclusiveMaximum")
    if kind == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(told(one) for one in schema["prefixItems"]) + "]"
        of = "[%s, ...]" % told(schema["items"]) if schema.get("items") else "list"
        return of + bounds(schema, "minItems", "maxItems")
    if kind == "object":
        if "properties" in schema:
            required = schema.get("required", [])
            return "{%s}" % ", ".join("%s%s: %s" % (name, "" if name in required else "?", told(inner))
                                      for name, inner in schema["properties"].items())
        of = schema.get("additionalProperties")
        size = bounds(schema, "minProperties", "maxProperties")
        return "{NAME: %s, ...}%s" % (told(of), size) if of else "object" + size
    return NAMES[kind]


def escaped(text):
    text = text.replace("\\", "\\e")
    return "\\&" + text if text[:1] in (".", "'") else text


def literal(title, text):
    print(".It " + title)
    print(".Bd -literal -compact")
    for line in text.split("\n"):
        rows = textwrap.wrap(line, 72, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) or [""]
        for row in rows:
            print(escaped(row))
    print(".Ed")


def main():
    print(HEAD, end="")
    for kind in json.load(sys.stdin)["kinds"]:
        if not kind["functions"]:
            continue
        print(".Sh KIND " + kind["kind"])
        for f in kind["functions"]:
            print(".Ss " + f["capability"])
            print(escaped("Bound: %s." % f["bound"]))
            print(escaped("A duplicate %s." % f["duplicate"]))
            print(".Bl -tag -width Ds")
            literal("Request", "any bytes" if f["request"] is None else told(f["request"]))
            literal("Answer", "any bytes" if f["answer"] is None else told(f["answer"]))
            sent = f["example"]["request"]
            literal("Example", sent.rstrip("\n") if sent else "(nothing)")
            if f["example"]["answer"] is not None:
                literal("gives", f["example"]["answer"].rstrip("\n"))
            print(".El")
    print(TAIL, end="")


main()
