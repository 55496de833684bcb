#!/bin/bash
# apiary metrics: well-formed in each form, the same names as its manual page, and the same numbers as the ledger, to the last task.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256, caches: [sessions]}
swarms:
  - service: text_service
    queen: {instances: 2}
    agents:
      - {name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}
      - {name: fails, kind: exec, capabilities: [text.fails], config: {command: [sh, -c, 'exit 7']}}
  - service: other_service
    agents: [{name: gate, kind: exec, capabilities: [gate], config: {concurrency: 1, command: [sh, -c, 'echo >>$folder/begun; read x <$folder/gate']}}]
END
mkfifo "$folder/gate"

read_metrics() # read_metrics WHAT...: of what is counted now
{
    apiary metrics | python3 "$APIARY_SOURCE/tests/process/lib_metrics.py" "$@"
}
is() # is NUMBER NAME [LABEL=VALUE...]
{
    [ "$(read_metrics sum "${@:2}" 2>&1)" = "$1" ]
}

expect 3 'no such segment' apiary metrics
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
start "$folder/first" apiary queen text_service --instance 0 --config "$config"
queen=$last
start "$folder/second" apiary queen text_service --instance 1 --config "$config"
start "$folder/other" apiary queen other_service --config "$config"
until_true apiary check

# ---- the forms

expect 0 '^[0-9]+ families, [0-9]+ samples$' read_metrics check
apiary metrics --openmetrics >"$folder/open"
expect 0 '^[0-9]+ families' python3 "$APIARY_SOURCE/tests/process/lib_metrics.py" check --openmetrics <"$folder/open"
expect 64 'one or the other' apiary metrics --json --openmetrics
diff <(read_metrics names) <(sed -n 's/^\.It Ic \(apiary_[a-z_]*\) Pq [a-z]*$/\1/p' "$APIARY_BUILD/man/apiary-metrics.7") >"$folder/diff" ||
    fail "apiary-metrics.7 has other names: $(cat "$folder/diff")"
diff <(read_metrics names) <(apiary metrics --json | python3 -c '
import json, sys
whole = json.load(sys.stdin)
assert whole["schema"] == 1, whole["schema"]
for m in whole["metrics"]:
    assert m["type"] in ("counter", "gauge", "histogram") and m["help"], m
    assert all(isinstance(s["value"], dict if m["type"] == "histogram" else (int, float)) for s in m["samples"]), m
    print(m["name"])') >"$folder/diff" || fail "the JSON has other names: $(cat "$folder/diff")"
if command -v promtool >/dev/null; then
    apiary metrics | promtool check metrics >"$folder/promtool" 2>&1 || fail "promtool: $(cat "$folder/promtool")"
    [ -s "$folder/promtool" ] && fail "promtool: $(cat "$folder/promtool")"
fi

# ---- tasks of known outcome

for i in 1 2 3 4 5 6 7; do expect 0 '^ABC' apiary delegate text.upper abc; done
for i in 1 2 3; do expect 1 'agent' apiary delegate text.fails abc; done
until_true is 7 apiary_agent_tasks_ended_total agent=upper outcome=done
until_true is 3 apiary_agent_tasks_ended_total agent=fails outcome=failed
until_true is 10 apiary_agent_tasks_ended_total service=text_service
until_true is 10 apiary_agent_tasks_started_total service=text_service

# Histograms and who calls whom: as apiary stats has it, each of them.
until_true is 7 apiary_agent_wait_seconds_count agent=upper
until_true is 7 apiary_agent_run_seconds_count agent=upper
until_true is 10 apiary_calls_total caller=-
is 7 apiary_calls_total caller=- capability=text.upper || fail "calls of text.upper: $(read_metrics sum apiary_calls_total)"
is 3 apiary_calls_failed_total capability=text.fails || fail 'calls that failed are not counted'
is 21 apiary_calls_request_bytes_total capability=text.upper || fail 'bytes of the requests'
is 3 apiary_failures_total capability=text.fails code=APIARY_EAGENT || fail 'the codes of failures are not counted'
expect 4 'nobody' apiary delegate nobody
is 1 apiary_refusals_total capability= reason=APIARY_ENOCAP || fail 'a refusal is not counted'
is 0 apiary_tally_others_total || fail 'something is not told apart'
apiary metrics --json >"$folder/metrics.json"
apiary stats --json >"$folder/stats.json"
apiary stats --pairs --json >"$folder/pairs.json"
expect 0 '^same$' python3 - "$folder" <<'END'
import json, sys
metrics, stats, pairs = (json.load(open(f"{sys.argv[1]}/{n}.json")) for n in ("metrics", "stats", "pairs"))
samples = {m["name"]: m["samples"] for m in metrics["metrics"]}
near = lambda seconds, ns: abs(seconds * 1e9 - ns) < 1 + ns * 1e-9

def agent_of(sample):
    want = [sample["labels"][k] for k in ("service", "queen", "agent")]
    return next(a for a in stats["agents"] if [a["service"], a["instance"], a["agent"]] == want)

for name, field in ("apiary_agent_wait_seconds", "waited"), ("apiary_agent_run_seconds", "ran"):
    assert len(samples[name]) == len(stats["agents"]), name
    for s in samples[name]:
        times, h = agent_of(s)[field], s["value"]
        assert h["count"] == times["count"] == h["buckets"][-1]["count"] and near(h["sum"], times["sum_ns"]), (s, times)
        for b in h["buckets"][:-1]:
            assert b["count"] == sum(n for edge, n in times["buckets"] if edge + 1 < b["le"] * 1e9), (b, times)
FIELDS = {"": "ended", "_failed": "failed", "_late": "late", "_retried": "retried", "_wait_seconds": "waited_ns",
          "_run_seconds": "ran_ns", "_request_bytes": "bytes_in", "_result_bytes": "bytes_out"}
for part, field in FIELDS.items():
    for s in samples[f"apiary_calls{part}_total"]:
        l = s["labels"]
        want = sum(p[field] for p in pairs["pairs"] if p["caller"] == l["caller"] and p["capability"] == l["capability"])
        assert near(s["value"], want) if "seconds" in part else s["value"] == want, (part, s, want)
assert samples["apiary_tally_rows"][0]["value"] == stats["rows_used"]
assert samples["apiary_tally_rows_limit"][0]["value"] == stats["rows"]
print("same")
END

# ---- tasks that wait

expect 0 '' apiary delegate gate --detach
until_true test -s "$folder/begun"
until_true is 1 apiary_agent_tasks_running agent=gate
is 1 apiary_tasks state=running || fail "tasks that run: $(read_metrics sum apiary_tasks state=running)"
for i in 1 2 3; do expect 0 '' apiary delegate gate --detach; done
until_true is 3 apiary_agent_tasks_queued agent=gate
is 3 apiary_tasks state=queued || fail "tasks that wait: $(read_metrics sum apiary_tasks state=queued)"
[[ $(read_metrics sum apiary_agent_oldest_queued_seconds agent=gate) =~ ^0\.[0-9]*[1-9]|^[1-9] ]] || fail 'the oldest task has no age'
is 0 apiary_agent_oldest_queued_seconds agent=upper || fail 'an empty queue has an oldest task'
(trap '' PIPE; while [ -p "$folder/gate" ]; do echo go >"$folder/gate"; done) 2>/dev/null &
until_true is 4 apiary_agent_tasks_ended_total agent=gate outcome=done
until_true is 0 apiary_agent_oldest_queued_seconds agent=gate

# ---- the rest of the segment

expect 0 '' apiary memory put --namespace sessions one 12345
until_true is 1 apiary_cache_values namespace=sessions
is 5 apiary_memory_bytes || fail "bytes of the memory: $(read_metrics sum apiary_memory_bytes)"
is 1 apiary_memory_changes_total change=put || fail 'a value that was written is not counted'
token=$(apiary claim acquire some/key) || fail 'no claim'
is 1 apiary_claims_held || fail 'a claim is not counted'
is 1 apiary_claims_total outcome=granted || fail 'a grant is not counted'
expect 0 '' apiary claim release some/key "$token"
is 2 apiary_members kind=queen && fail 'three queens are two'
is 3 apiary_members kind=queen || fail "queens: $(read_metrics sum apiary_members kind=queen)"
is 3 apiary_instance_state state=passing || fail 'instances that pass'
is 1 apiary_monitor_watching || fail 'nobody watches'
cpu=$(read_metrics sum apiary_process_cpu_seconds_total kind=daemon) || fail "the daemon's processor time: $cpu"
[ "$(read_metrics sum apiary_process_threads kind=queen service=other_service)" -ge 2 ] || fail "a queen's threads"
fds=$(read_metrics sum apiary_process_open_descriptors kind=daemon)
[ "$fds" = "$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)" ] || fail "descriptors of the daemon: $fds"
is 1 apiary_segment_size_bytes && fail 'the size of the segment'
is "$(stat -c %s "/dev/shm$APIARY_SEGMENT")" apiary_segment_size_bytes || fail 'the size of the segment'

# ---- the dead

kill -KILL "$queen"
until_true is 1 apiary_instance_state state=down queen=0
read_metrics sum apiary_process_threads service=text_service queen=0 >/dev/null 2>&1 && fail 'a dead queen has threads'
is 10 apiary_agent_tasks_ended_total service=text_service || fail 'the counts of a dead queen are gone'
kill -KILL "$daemon"
until_true is 0 apiary_members kind=daemon
expect 0 'families' read_metrics check

# An instance's name is of this user's choice, a text of the segment's of whoever writes there.
start "$folder/third" apiary queen text_service --instance 'b-1.x' --config "$config"
until_true is 1 apiary_instance_state queen=b-1.x state=passing
ends
