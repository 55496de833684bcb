#!/bin/bash
# A real Prometheus scrapes the coordinator under load: promtool judges metrics, configuration and alert rules; each scrape succeeds; and
# what Prometheus has at the end is the ledger, to the last task, also after the coordinator was killed.
# ctest: timeout 1800
set -u
command -v prometheus >/dev/null && command -v promtool >/dev/null || { echo 'prometheus is missing'; exit 77; }
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_prometheus.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 64, lanes: 128, tasks: 1024}
swarms:
  - service: echo_service
    queen: {instances: 2}
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo], config: {greeting: ""}}]
  - service: text_service
    agents: [{name: fails, kind: exec, capabilities: [text.fails], config: {command: [sh, -c, 'exit 7']}}]
END
start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"
for i in 0 1; do start "$folder/queen-$i" apiary queen echo_service --instance "$i" --config "$config"; done
start "$folder/text" apiary queen text_service --config "$config"
until_true status_of 200 /readyz

# ---- what is shipped

expect 0 'SUCCESS' promtool check rules "$tools/alerts.yaml"
expect 0 'SUCCESS' promtool test rules "$tools/alerts_test.yaml"
(cd "$tools" && promtool check config prometheus.yaml) >"$folder/checked" 2>&1 || fail "prometheus.yaml: $(cat "$folder/checked")"
body_of /metrics | promtool check metrics >"$folder/checked" 2>&1 || fail "promtool: $(cat "$folder/checked")"
[ -s "$folder/checked" ] && fail "promtool: $(cat "$folder/checked")"
for name in $(grep -oE '\bapiary_[a-z_]+' "$tools/alerts.yaml" | sed 's/_bucket$//' | sort -u); do
    body_of /metrics | grep -qE "^# TYPE $name " || fail "the rules name $name, which there is not"
done

# ---- it scrapes, each second

scrape "$port"
until_true is 'up{job="apiary"}' 1

# ---- a load of known outcome, in the midst of which the coordinator is killed

SECONDS=0 done=0 failed=0
while [ "$SECONDS" -lt "${PROMETHEUS_SECONDS:-60}" ]; do
    for i in 1 2 3 4 5 6 7 8 9 10; do apiary delegate echo ping >/dev/null && done=$((done + 1)); done
    apiary delegate text.fails x >/dev/null 2>&1 || failed=$((failed + 1))
    [ "$SECONDS" -lt 20 ] || [ -e "$folder/killed" ] || {
        kill -KILL "$daemon"
        start "$folder/next" apiaryd --config "$config" --listen "127.0.0.1:$port"
        daemon=$last
        : >"$folder/killed"
    }
done
echo "$done done, $failed failed"
until_true is 'sum(apiary_agent_tasks_ended_total{outcome="done"})' "$done"
until_true is 'sum(apiary_agent_tasks_ended_total{outcome="failed"})' "$failed"
until_true is 'sum(apiary_agent_tasks_ended_total)' $((done + failed))
for name in apiary_calls_total apiary_agent_wait_seconds_count apiary_agent_run_seconds_count 'apiary_agent_run_seconds_bucket{le="+Inf"}'; do
    until_true is "sum($name)" $((done + failed))
done
until_true is 'sum(apiary_failures_total{code="APIARY_EAGENT"})' "$failed"
echo "scrapes: $(query 'count_over_time(up{job="apiary"}[1h])'), of which answered: $(query 'sum_over_time(up{job="apiary"}[1h])')"
lost=$(query 'count_over_time(up{job="apiary"}[1h]) - sum_over_time(up{job="apiary"}[1h])')
[ "$lost" -le 3 ] || fail "$lost scrapes failed, not only while the coordinator was killed"
[ "$(query 'resets(sum(apiary_agent_tasks_ended_total)[1h:1s])')" = 0 ] || fail 'a counter began anew'
kill -TERM "$prometheus"
wait "$prometheus"
ends
