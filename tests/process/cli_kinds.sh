#!/bin/bash
# What `apiary kinds` tells of the capabilities: all of it as JSON, of one kind or capability with its schemas; and the manual page that
# is made of it is the one in the tree.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

expect 0 '^    cache_put: the memory that the agent is configured for; a duplicate puts the same once more' apiary kinds
expect 0 '^        request    [{]"type":"object","required":."key","value"' apiary kinds cache_put
expect 0 '^        example    1.10.0.n1.9.1.n' apiary kinds version_sorting
expect 64 "there is no kind or capability 'nothing' here" apiary kinds nothing
[ "$(apiary kinds cache_manager | grep -c '^        request ')" -eq 4 ] || fail 'not all capabilities of a kind'
[ "$(apiary kinds cache_put | grep -c '^        request ')" -eq 1 ] || fail 'more than the capability that was asked for'
apiary kinds | grep -q '^        request ' && fail 'schemas that nobody asked for'

apiary kinds --json >"$folder/kinds.json"
python3 "$APIARY_SOURCE/tools/man/kinds.py" <"$folder/kinds.json" >"$folder/page"
diff "$APIARY_SOURCE/tools/man/apiary-kinds.7" "$folder/page" ||
    fail 'apiary-kinds.7 is old: apiary kinds --json | tools/man/kinds.py > tools/man/apiary-kinds.7'
# A client finds the schemas where they are said to be.
python3 - "$folder/kinds.json" <<'END' || fail 'the JSON is not as it is said to be'
import json, sys
kinds = {k["kind"]: k for k in json.load(open(sys.argv[1]))["kinds"]}
put = next(f for f in kinds["cache_manager"]["functions"] if f["capability"] == "cache_put")
assert put["request"]["properties"]["ttl_ms"]["type"] == "integer", put
assert json.loads(put["example"]["request"])["key"] == "check", put
assert kinds["exec"]["functions"] == [], kinds["exec"]
for kind in kinds.values():
    assert {f["capability"] for f in kind["functions"]} == set(kind.get("capabilities", [])), kind["kind"]
END
ends
