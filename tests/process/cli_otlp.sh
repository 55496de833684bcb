#!/bin/bash
# Spans of sampled traces over three services, as lines of OTLP JSON: each as the encoding wants it, children below their parents, and
# a lost start below its task. Nothing of what is not sampled, and nothing else is recorded for it.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_chain.sh" || exit 1

chain 'trace_one_in: 1'
expect 64 'is for --otlp' apiary tap --output "$folder/x"
expect 64 'is for --output' apiary tap --otlp --rotate 5
start "$folder/spans" apiary tap --otlp --count 5
spans=$last
start "$folder/rotated" apiary tap --otlp --output "$folder/out.jsonl" --rotate 10 --count 5
rotated=$last
attached() { [ "$(shmdump --json | python3 -c 'import json, sys; print(sum(m["kind"] == "tool" for m in json.load(sys.stdin)["members"]))')" -ge 2 ]; }
until_true attached

trace=0af7651916cd43dd8448eb211c80319c
apiary delegate break.it --traceparent 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00 >/dev/null 2>&1
start "$folder/client" apiary delegate api_gateway --traceparent "00-$trace-b7ad6b7169203331-01" \
    '{"path":"/deep","body":{"capability":"wait.here","inputs":["x"]}}'
client=$last
running() { apiary trace "$trace" 2>/dev/null | grep -q 'wait.here.*running'; }
until_true running
kill -KILL "$inner"
wait "$inner" 2>/dev/null
start "$folder/inner" apiary queen inner -c "$config"
again() { apiary trace "$trace" --wide | grep -q 'wait.here *2 .*running'; }
until_true again
exec 9<>"$folder/go"
printf 'go\ngo\n' >&9
wait "$client" || fail "the client: $(cat "$folder/client")"
apiary delegate break.it --traceparent "00-$trace-b7ad6b7169203331-01" >/dev/null 2>&1
wait "$spans" || fail "the tap: $(cat "$folder/spans")"
wait "$rotated" || fail "the tap into a file: $(cat "$folder/rotated")"
python3 - "$folder/spans" "$trace" <<'PYTHON' || fail "the spans: $(cat "$folder/spans")"
import json, re, sys

FIELDS = {"traceId", "spanId", "traceState", "parentSpanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
          "attributes", "droppedAttributesCount", "events", "droppedEventsCount", "links", "droppedLinksCount", "status"}
VALUES = {"stringValue": str, "boolValue": bool, "intValue": str, "doubleValue": float}

def attributes(list):
    for a in list:
        assert set(a) == {"key", "value"} and len(a["value"]) == 1, a
        (kind, value), = a["value"].items()
        assert type(value) is VALUES[kind] and (kind != "intValue" or re.fullmatch(r"-?\d+", value)), a
    keys = [a["key"] for a in list]
    assert len(set(keys)) == len(keys), keys
    return {a["key"]: next(iter(a["value"].values())) for a in list}

def nanoseconds(text):
    assert type(text) is str and re.fullmatch(r"[1-9]\d{18}", text), text
    return int(text)

spans = []
for line in open(sys.argv[1]):
    whole = json.loads(line)
    assert set(whole) == {"resourceSpans"}, whole
    for r in whole["resourceSpans"]:
        assert set(r) == {"resource", "scopeSpans"} and set(r["resource"]) == {"attributes"}, r
        service = attributes(r["resource"]["attributes"])["service.name"]
        for scope in r["scopeSpans"]:
            assert set(scope) == {"scope", "spans"} and scope["scope"]["name"] == "apiary", scope
            for s in scope["spans"]:
                assert set(s) <= FIELDS, s
                assert s["traceId"] == sys.argv[2] and re.fullmatch(r"[0-9a-f]{16}", s["spanId"]) and s["spanId"] != "0" * 16, s
                assert re.fullmatch(r"[0-9a-f]{16}", s["parentSpanId"]) and s["flags"] == 1, s
                assert type(s["kind"]) is int and 1 <= s["kind"] <= 5, s
                began, ended = nanoseconds(s["startTimeUnixNano"]), nanoseconds(s["endTimeUnixNano"])
                assert all(began <= nanoseconds(e["timeUnixNano"]) <= ended for e in s.get("events", [])), s
                assert set(s["status"]) <= {"code", "message"} and s["status"].get("code", 0) in (0, 2), s
                spans.append((service, s, attributes(s["attributes"])))
assert len({s["spanId"] for _, s, _ in spans}) == len(spans) == 5, spans
by = {s["name"]: (service, s, a) for service, s, a in spans}
assert [by[n][0] for n in ("process api_gateway", "process task_execution", "process wait.here")] == ["outer", "middle", "inner"], by
top, middle, last, lost = (by[n][1] for n in ("process api_gateway", "process task_execution", "process wait.here", "attempt wait.here"))
assert top["parentSpanId"] == "b7ad6b7169203331" and middle["parentSpanId"] == top["spanId"], spans
assert last["parentSpanId"] == middle["spanId"] and lost["parentSpanId"] == last["spanId"] and lost["kind"] == 1, spans
assert last["kind"] == 5 and last["status"] == {} and lost["status"]["code"] == 2, spans
broke = by["process break.it"]
assert broke[1]["status"] == {"code": 2, "message": "APIARY_EAGENT"} and broke[2]["error.type"] == "APIARY_EAGENT", broke
assert broke[2]["messaging.system"] == "apiary" and broke[2]["messaging.destination.name"] == "break.it", broke
assert broke[2]["messaging.operation.type"] == "process" and broke[2]["apiary.agent_code"] == "1", broke
PYTHON
[ -s "$folder/out.jsonl" ] && [ -s "$folder/out.jsonl.1" ] || fail "the file was not turned over: $(ls -l "$folder")"
python3 -c 'import json, sys; [json.loads(l)["resourceSpans"] for f in sys.argv[1:] for l in open(f)]' "$folder/out.jsonl" "$folder/out.jsonl.1" ||
    fail 'a line of the file is not whole'

# Each task that is in no trace begins one here (trace_one_in), and what its agents ask for is in that one.
printf 'go\n' >&9
expect 0 '' apiary delegate api_gateway '{"path":"/deep","body":{"capability":"wait.here","inputs":["x"]}}'
# The caller has its result a moment before the worker has told of the end.
begun()
{
    shmdump --json | python3 -c '
import json, sys
last = json.load(sys.stdin)["finished"][-3:]
assert sorted(t["capability"] for t in last) == ["api_gateway", "task_execution", "wait.here"], last
assert len({t["trace"] for t in last}) == 1 and all(t["sampled"] and t["parent_span"] for t in last), last' 2>/dev/null
}
until_true begun
[ "$(shmdump --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["header"]["tapped_until"])')" = 0 ] || fail 'spans have everything recorded'
exit $((failures > 0))
