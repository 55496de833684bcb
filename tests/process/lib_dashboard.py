"""Drives the page for dashboard.sh: a command on each line of standard input, an answer on a line of standard output.

open URL, size W H, scheme light|dark, until EXPRESSION, js EXPRESSION, key NAME, look NAME, parts, shot FILE, said. An answer is
"ok", the value of `js` as JSON, or "FAILED: " and why. `said` tells what the page said since it was last asked.
"""
import json
import os
import sys

import lib_browser

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = open(os.path.join(HERE, "lib_dashboard.js")).read()


def do(page, command, rest):
    if command == "open":
        page.open(rest)
    elif command == "size":
        page.size(*map(int, rest.split()))
    elif command == "scheme":
        page.scheme(rest)
    elif command == "until":
        page.until(rest)
    elif command == "js":
        return json.dumps(page.js(rest))
    elif command == "key":
        page.key(rest, text="\r" if rest == "Enter" else None)
    elif command in ("look", "parts"):
        page.js(RULES)
        wrong = page.js("looks()" if command == "look" else "parts()")
        if wrong:
            raise RuntimeError("; ".join(wrong))
    elif command == "shot":
        page.shot(rest)
    elif command == "said":
        said, page.said = page.said, []
        return json.dumps({"said": said, "hosts": sorted(page.hosts)})
    else:
        raise RuntimeError("what is " + command)
    return "ok"


def main():
    browser = lib_browser.Browser()
    try:
        page = browser.page()
        for line in sys.stdin:
            command, _, rest = line.strip().partition(" ")
            try:
                print(do(page, command, rest), flush=True)
            except RuntimeError as e:
                print("FAILED: " + " ".join(str(e).split()), flush=True)
    finally:
        browser.close()


main()
