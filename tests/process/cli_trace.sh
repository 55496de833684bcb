#!/bin/bash
# The life of a task across three services: the chain of a sampled trace, while it runs, after its worker was killed in the middle,
# after it has ended, and after its records are overwritten.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_chain.sh" || exit 1

chain 'finished_rings: 2'

trace=0af7651916cd43dd8448eb211c80319c
expect 64 "'what' is neither a task's id nor a trace's" apiary trace what
expect 1 'nothing is known of it' apiary trace "$trace"
expect 1 'nothing is known of it' apiary trace 1-1-1
start "$folder/client" apiary delegate api_gateway --traceparent "00-$trace-b7ad6b7169203331-01" \
    '{"path":"/deep","body":{"capability":"wait.here","inputs":["x"]}}'
client=$last

chain() # DEPTH CAPABILITY AGENT END..., one a line
{
    apiary trace "${1:-$trace}" --json | python3 -c "
import json, sys
j = json.load(sys.stdin)
for t in j['tasks']: print(t['depth'], t['capability'], t['agent'], t['state'] or t['end'], t['attempt'])"
}
is_chain() { [ "$(chain)" = "$1" ]; }
until_true is_chain '0 api_gateway outer/gate running 1
1 task_execution middle/batch running 1
2 wait.here inner/waits running 1'
# By the id of any of its tasks.
task=$(apiary task ls --json | python3 -c 'import json, sys; print([t["task"] for t in json.load(sys.stdin)["tasks"] if t["capability"] == "wait.here"][0])')
[ "$(chain "$task")" = "$(chain)" ] || fail "by the task's id: $(chain "$task")"

# The worker is killed: its start is lost, and the task waits for the next.
kill -KILL "$inner"
wait "$inner" 2>/dev/null
until_true is_chain '0 api_gateway outer/gate running 1
1 task_execution middle/batch running 1
2 wait.here inner/waits lost 1
2 wait.here inner/waits queued 1'
start "$folder/inner" apiary queen inner -c "$config"
until_true is_chain '0 api_gateway outer/gate running 1
1 task_execution middle/batch running 1
2 wait.here inner/waits lost 1
2 wait.here inner/waits running 2'
exec 9<>"$folder/go"
echo go >&9
echo go >&9
wait "$client" || fail "the client: $(cat "$folder/client")"
until_true is_chain '0 api_gateway outer/gate done 1
1 task_execution middle/batch done 1
2 wait.here inner/waits lost 1
2 wait.here inner/waits done 2'
expect 0 'outer/gate +api_gateway +1 ' apiary trace "$trace"
expect 0 '#' apiary trace "$trace"
expect 0 '^ *[0-9.]+ [mun]*s .*    middle +inner/waits +wait.here +2 ' apiary trace "$trace" --wide
apiary trace "$trace" --json | python3 -c '
import json, sys
j = json.load(sys.stdin)
assert j["sampled"] and j["orphans"] and j["overwritten"] == 0 and j["until_ns"] > j["from_ns"], j
top, middle, lost, last = j["tasks"]
assert top["parent_span"] == "b7ad6b7169203331" and middle["parent_span"] == top["span"] and last["parent_span"] == middle["span"], j
assert last["from_ns"] >= middle["started_ns"] and last["until_ns"] <= middle["until_ns"] and lost["span"] == last["span"], j
assert last["worker_pid"] != lost["worker_pid"], j' || fail 'the JSON'

# One in no trace stands alone. A trace that is not sampled tells of what failed.
apiary delegate break.it >/dev/null 2>&1
# The caller has its result a moment before the worker has told of the end.
broken() { task=$(shmdump --json | python3 -c 'import json, sys; print([t["task"] for t in json.load(sys.stdin)["finished"] if t["capability"] == "break.it"][0])' 2>/dev/null); }
until_true broken
expect 0 'a task in no trace.*' apiary trace "$task"
apiary delegate break.it --traceparent 00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00 >/dev/null 2>&1
until_true apiary trace 1af7651916cd43dd8448eb211c80319c >/dev/null
expect 0 'is not sampled' apiary trace 1af7651916cd43dd8448eb211c80319c

# What was overwritten is missing, and it says so.
for i in $(seq 130); do echo "$i"; done | xargs -n 26 -P 2 sh -c 'for i; do apiary delegate break.it >/dev/null 2>&1; done; true' sh
expect 1 'nothing is known of it' apiary trace "$trace"
apiary delegate break.it --traceparent 00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 >/dev/null 2>&1
until_true apiary trace 2af7651916cd43dd8448eb211c80319c >/dev/null
expect 0 'older records +are overwritten' apiary trace 2af7651916cd43dd8448eb211c80319c
exit $((failures > 0))
