#!/bin/bash
# /v1 of the coordinator: each path answers as tools/openapi.json says, the same as the command does with --json, and with arguments.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 64, lanes: 128, tasks: 512, caches: [pages], health_check_interval: 30000}
swarms:
  - service: text_service
    tags: [eu, fast]
    queen: {instances: 2}
    agents:
      - {name: upper, kind: exec, capabilities: [{name: text.upper, idempotent: true, concurrency: 2, hedge: 20ms}], config: {command: [tr, a-z, A-Z]}}
      - {name: fails, kind: exec, capabilities: [text.fails], config: {command: [sh, -c, 'exit 7']}}
  - service: gate_service
    agents: [{name: gate, kind: exec, capabilities: [gate], config: {concurrency: 1, command: [sh, -c, 'read x <$folder/gate']}}]
END
mkfifo "$folder/gate"
APIARY_LISTEN=127.0.0.1:0 start "$folder/up" apiary up --config "$config" --verbose
up=$last
until_true apiary wait --all --config "$config"
served "$folder/up"

# `apiary up` says where it is; one whose port is taken says that, and goes on.
until_true grep -qxF "apiary: up: the page is at $http/; 'apiary token' prints what its buttons need" "$folder/up"
expect 0 '"kind": ?"http-served"' apiary events --kind http-served --json
sed 's/text.upper/other.upper/; s/text_service/other_service/' "$config" >"$folder/other.yaml"
expect 0 "the page is not served: 127.0.0.1:$port: Address already in use; that is tried again" env APIARY_SEGMENT="$APIARY_SEGMENT-b" APIARY_LISTEN="127.0.0.1:$port" apiary up --once --config "$folder/other.yaml"
output=$(APIARY_SEGMENT=$APIARY_SEGMENT-b APIARY_LISTEN=off apiary up --once --config "$folder/other.yaml" 2>&1)
grep -q 'the page is' <<<"$output" && fail "there is no page, and yet: $output"

same() # same PATH COMMAND...: both say the same, but for what goes on
{
    diff <(body_of "$1" | python3 "$APIARY_SOURCE/tests/process/lib_still.py") <("${@:2}" --json | python3 "$APIARY_SOURCE/tests/process/lib_still.py") >"$folder/diff" ||
        fail "$1 is not '${*:2}': $(head -c 600 "$folder/diff")"
}

# ---- something of everything

expect 0 '' apiary delegate text.upper abc
for i in 1 2 3 4 5; do expect 0 '' apiary delegate gate --detach; done
expect 0 '' apiary delegate text.upper abc --detach --keep 1h
expect 0 '' apiary claim acquire some/key --ttl 1h
expect 0 '' apiary memory put one 1
for i in 1 2 3 4 5; do expect 0 '' apiary memory put "page/$i" "$i" --namespace pages --ttl 1h; done
expect 0 '' apiary memory put word grün --local text_service
head -c 5000 /dev/zero | expect 0 '' apiary memory put zeros - --namespace pages
expect 0 '' apiary memory put long "$(printf x; printf "ü%.0s" {1..2100})x"
expect 0 '' apiary delegate text.upper abc --detach --delay 1h
expect 7 'it stays in drain' apiary drain gate_service --reason 'for the test' --timeout 1ms
expect 0 '' apiary resume gate_service
for i in 1 2 3; do apiary delegate text.fails abc --retry 2,backoff=1ms >/dev/null 2>&1; done
expect 4 'nobody' apiary delegate nobody
dead_are()
{
    [ "$(apiary dead ls --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["dead"]))')" -ge "$1" ]
}
until_true dead_are 3
until_true apiary wait --all --config "$config"

past() # past QUERY EXPRESSION: what it is of the answer j of /v1/history
{
    body_of "/v1/history?step=10s&$1" | python3 -c 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$2"
}
past_is() { [ "$(past "$1" "$2")" = "$3" ]; }
until_true past_is of=agents 'any("ran" in r for s in j["steps"] for r in s["rows"]) and len(j["steps"]) > 1' True

# ---- as the schema says, and as the commands do

python3 "$APIARY_SOURCE/tests/process/lib_schema.py" "$port" "$APIARY_SOURCE/tools/openapi.json" >"$folder/schema" || fail "$(cat "$folder/schema")"
tail -1 "$folder/schema"
for list in status.swarms services.agents capabilities.capabilities tasks.tasks dead.dead kept.kept finished.tasks trace.tasks claims.claims events.events metrics.metrics history.rows history.steps stats.agents stats.refusals pairs.pairs namespaces.namespaces memory.keys caches.caches; do
    grep -qE "^empty:.* /v1/$list( |\$)" "$folder/schema" && fail "nothing was in /v1/$list"
done
diff <(body_of /v1/openapi.json) "$APIARY_SOURCE/tools/openapi.json" >/dev/null || fail 'the schema that is served is another one'
diff <(python3 -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))["paths"]))' "$APIARY_SOURCE/tools/openapi.json") \
    <(sed -n 's/^\.It Pa \(\/[^ ]*\)$/\1/p' "$APIARY_BUILD/man/apiaryd.8") || fail 'the manual page has other paths than the schema'
same /v1/status apiary status
same '/v1/status?service=gate_service' apiary status gate_service
same /v1/services apiary services
same /v1/namespaces apiary memory spaces
same /v1/caches apiary memory caches
same /v1/memory apiary memory scan
same '/v1/memory?local=text_service' apiary memory scan --local text_service
same '/v1/memory?namespace=pages&prefix=page/' apiary memory scan page/ --namespace pages
same '/v1/services?tag=eu%20fast' apiary services --tag 'eu fast'
same /v1/capabilities apiary capability ls
same /v1/tasks apiary task ls
same '/v1/tasks?state=queued' apiary task ls --state queued
same /v1/dead apiary dead ls
failed=$(body_of '/v1/finished?service=text_service' | python3 -c 'import json, sys; j = json.load(sys.stdin); print([t["task"] for t in j["tasks"] if t["end"] == "failed" and t["capability"] == "text.fails" and t["attempt"] == 2][0])')
[ -n "$failed" ] || fail "/v1/finished: $(body_of /v1/finished | head -c 600)"
[ "$(body_of "/v1/trace?id=$failed" | python3 -c 'import json, sys; print([(t["end"], t["attempt"], t["dead"] is not None) for t in json.load(sys.stdin)["tasks"]])')" = "[('retried', 1, False), ('failed', 2, True)]" ] ||
    fail "/v1/trace: $(body_of "/v1/trace?id=$failed")"
expect 0 'waits in the dead set: apiary dead show [0-9]+' apiary trace "$failed"
body_of '/v1/trace?id=what' | grep -q "neither a task's nor a trace's" || fail "/v1/trace of nothing: $(body_of '/v1/trace?id=what')"
same /v1/kept apiary kept ls
same /v1/stats apiary stats
same /v1/pairs apiary stats --pairs
same /v1/claims apiary claim ls
same '/v1/events?kind=swarm-registered' apiary events --kind swarm-registered
same '/v1/events?service=gate_service&since=1h' apiary events --service gate_service --since 1h

# ---- page by page

paged() # paged PATH LIST LIMIT: all rows by pages, one number each
{
    python3 - "$port" "$@" <<'END'
import http.client, json, sys
port, path, name, limit = int(sys.argv[1]), *sys.argv[2:]
c, after, rows = http.client.HTTPConnection("127.0.0.1", port, timeout=600), 0, []
while after is not None:
    c.request("GET", f"{path}?limit={limit}&after={after}")
    answer = json.loads(c.getresponse().read())
    assert len(answer[name]) <= int(limit), answer
    rows += [r["task"] for r in answer[name]]
    after = answer["next"]
assert len(set(rows)) == len(rows), rows
print(len(rows))
END
}
all=$(apiary task ls --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["tasks"]))')
[ "$(paged /v1/tasks tasks 2)" = "$all" ] || fail "tasks by pages: $(paged /v1/tasks tasks 2), not $all"
[ "$(paged /v1/dead dead 1)" = "$(apiary dead ls --json | grep -c '"number"')" ] || [ "$(paged /v1/dead dead 1)" -ge 3 ] || fail 'the dead by pages'
past_is limit=1 'len(j["steps"]), j["next"] == j["steps"][0]["at_ms"]' '(1, True)' || fail "a step of the past: $(body_of '/v1/history?limit=1' | tail -c 500)"
past_is "limit=1&after=$(past limit=1 'j["next"]')" 'len(j["steps"]), j["steps"][0]["at_ms"]' "(1, $(past limit=2 'j["steps"][1]["at_ms"]'))" || fail 'the next step'
past_is 'service=nobody' 'j["rows"]' '[]' || fail 'the past of nobody'
[ "$(past of=pairs 'sorted(j["rows"][0]) == ["caller", "capability", "service"]')" = True ] || fail 'pairs'
newest=$(apiary events --json --last 2 | python3 -c 'import json, sys; print([e["number"] for e in json.load(sys.stdin)["events"]])')
[ "$(body_of '/v1/events?limit=2' | python3 -c 'import json, sys; print([e["number"] for e in json.load(sys.stdin)["events"]])')" = "$newest" ] ||
    fail 'the newest events are others'

# ---- what is no argument

refused() # refused PATTERN PATH
{
    expect 0 '^400$' ask "$2"
    expect 0 "\"error\":\".*$1" body_of "$2"
}
refused "'x' is no argument of /v1/tasks, which takes state limit after" '/v1/tasks?x=1'
refused "'service' is no argument of /metrics, which takes none" '/metrics?service=a'
refused "limit: '0' is no number from 1 to 1000" '/v1/tasks?limit=0'
refused "limit: '1001' is no number" '/v1/tasks?limit=1001'
refused "after: '-1' is no number" '/v1/tasks?after=-1'
refused "after: '9223372036854775808' is no number" '/v1/dead?after=9223372036854775808'
refused 'limit is there twice' '/v1/tasks?limit=1&limit=2'
refused "state: 'lost' is none" '/v1/tasks?state=lost'
refused "kind: 'nothing' is none; there are" '/v1/events?kind=nothing'
refused "since: 'soon' is neither" '/v1/events?since=soon'
refused "until: 'soon' is neither" '/v1/history?until=soon'
refused "step: 'x' is no time" '/v1/history?step=x'
refused "of: 'tasks' is none; services" '/v1/history?of=tasks'
refused "tag: 'No Tag' is no tag" '/v1/services?tag=No%20Tag'
refused "service: '\.\./x' is no name" '/v1/services?service=../x'
refused 'needs a value of 1 to 255 bytes' '/v1/status?service='
refused 'needs a value of 1 to 255 bytes' '/v1/status?service'
refused 'needs a value of 1 to 255 bytes' "/v1/status?service=$(printf 'a%.0s' {1..256})"
refused 'needs a value of 1 to 255 bytes' '/v1/status?service=a%00b'
expect 0 '"swarms":\[\]' body_of '/v1/status?service=nobody'
expect 0 '"metrics":\[\]' body_of '/v1/metrics?name=nothing'
expect 0 '^."schema":1,"segment":"[^"]*","metrics":\[."name":"apiary_queues_limit",.*"samples":\[."labels":..,"value":[0-9]+.\].\].$' body_of '/v1/metrics?name=apiary_queues_l'

# ---- the memory: in parts, as text or in hexadecimal, bounded

python3 - "$port" >"$folder/keys" <<'END' || fail "the keys in parts: $(cat "$folder/keys")"
import http.client, json, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
def ask(path, status=200):
    c.request("GET", path)
    r = c.getresponse()
    o = json.loads(r.read())
    assert r.status == status, (path, r.status, o)
    return o
keys, after = [], ""
while after is not None:
    o = ask("/v1/memory?namespace=pages&prefix=page/&limit=2" + (f"&after={after}" if after != "" else ""))
    assert 0 < len(o["keys"]) <= 2, o
    keys += [k["key"] for k in o["keys"]]
    after = o["next"]
assert sorted(keys) == [f"page/{i}" for i in range(1, 6)], keys
v = ask("/v1/value?namespace=pages&key=page/3")
assert (v["text"], v["hex"], v["size"], v["shown"]) == ("3", None, 1, 1) and 3.5e12 < v["expires_in_ns"] <= 3.6e12, v
v = ask("/v1/value?namespace=pages&key=zeros")
assert (v["text"], v["hex"], v["size"], v["shown"]) == (None, "00" * 4096, 5000, 4096), v
v = ask("/v1/value?key=long")
assert (v["text"], v["size"], v["shown"]) == ("x" + "ü" * 2047, 4202, 4095), v
assert ask("/v1/value?local=text_service&key=word")["text"] == "grün"
ask("/v1/value?key=absent", 404)
END
refused 'key is needed' /v1/value
refused "local: 'a' is there, and so is namespace" '/v1/memory?local=a&namespace=b'
refused "namespace: '../x' is no name" '/v1/memory?namespace=../x'
misses=$(apiary memory stats --json)
body_of '/v1/value?key=one' >/dev/null
[ "$misses" = "$(apiary memory stats --json)" ] || fail 'to look at a value counts as getting it'
(trap '' PIPE; while [ -p "$folder/gate" ]; do echo go >"$folder/gate"; done) 2>/dev/null &
kill -TERM "$up"
wait "$up"
ends
