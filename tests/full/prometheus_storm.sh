#!/bin/bash
# A real Prometheus scrapes the coordinator under the storm (process/storm.sh), for PROMETHEUS_SECONDS: queens, clients and the coordinator
# are killed and started again all the while. At the end it has what the segment says, to the last task, and the segment what the
# ledger says, but for one start of each queen that was killed; no counter has ever fallen.
# ctest: serial
# ctest: timeout 3600
set -u
command -v prometheus >/dev/null && command -v promtool >/dev/null || { echo 'prometheus is missing'; exit 77; }
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_prometheus.sh" || exit 1

if [ "${1:-}" = look ]; then # run by the storm, when all is done and nobody has left
    sum() { apiary --segment "$STORM_SEGMENT" metrics | python3 "$APIARY_SOURCE/tests/process/lib_metrics.py" sum "$@"; }
    for name in apiary_agent_tasks_started_total apiary_agent_tasks_ended_total apiary_agent_tasks_retried_total apiary_agent_tasks_lost_total \
        apiary_agent_tasks_taken_over_total apiary_calls_total apiary_calls_failed_total apiary_calls_late_total apiary_failures_total \
        apiary_refusals_total apiary_capability_hedges_total apiary_capability_coalesced_total; do
        of=$(sum "$name" 2>/dev/null)
        [ -n "$of" ] || continue
        until_true is "sum($name)" "$of"
        echo "$name: $of, and so says Prometheus"
    done
    for outcome in done failed late crashed expired cancelled; do
        until_true is "sum(apiary_agent_tasks_ended_total{outcome=\"$outcome\"})" "$(sum apiary_agent_tasks_ended_total outcome=$outcome)"
    done
    started=$(sum apiary_agent_tasks_started_total)
    until_true is 'sum(apiary_agent_wait_seconds_count)' "$(query 'sum(apiary_agent_wait_seconds_bucket{le="+Inf"})')"
    echo "submitted $STORM_SUBMITTED, executions in the ledger $STORM_EXECUTIONS, started by the counters $started, queens killed $STORM_KILLS"
    [ $((started > STORM_EXECUTIONS ? started - STORM_EXECUTIONS : STORM_EXECUTIONS - started)) -le "$STORM_KILLS" ] || fail 'the counters and the ledger differ by more than the deaths explain'
    [ "$(query "sum(resets(apiary_agent_tasks_ended_total[2h])) + sum(resets(apiary_calls_total[2h]))")" = 0 ] || fail 'a counter has fallen'
    echo "scrapes: $(query 'count_over_time(up{job="apiary"}[2h])'), of which answered: $(query 'sum_over_time(up{job="apiary"}[2h])')"
    apiary --segment "$STORM_SEGMENT" metrics | promtool check metrics >"$folder/checked" 2>&1 || fail "promtool: $(cat "$folder/checked")"
    [ "$failures" -eq 0 ]
    exit
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
scrape "$port"
# More daemons are killed than the storm alone would have, so that they are away often, and never for long.
APIARY_LISTEN=127.0.0.1:$port STORM_SECONDS=${PROMETHEUS_SECONDS:-600} STORM_DAEMON=${STORM_DAEMON:-6} bash "$APIARY_SOURCE/tests/process/storm.sh" \
    --look "bash '$APIARY_SOURCE/tests/full/prometheus_storm.sh' look" || fail 'the storm, or what was seen of it'
kill -TERM "$prometheus"
wait "$prometheus"
ends
