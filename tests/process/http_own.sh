#!/bin/bash
# A swarm's own endpoints: /health and /metrics of it alone, at an address of its own; limits; a coordinator that
# is killed, whose successor has other addresses, one of them in use.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
trap cleanup EXIT
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
lib_metrics=$APIARY_SOURCE/tests/process/lib_metrics.py
configure() # configure LISTEN-OF-first LISTEN-OF-second
{
    cat >"$config.new" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256}
swarms:
  - service: first
    listen: $1
    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]
  - service: second
    listen: $2
    agents: [{name: lower, kind: exec, capabilities: [text.lower], config: {command: [tr, A-Z, a-z]}}]
  - service: third
    agents: [{name: same, kind: exec, capabilities: [text.same], config: {command: [cat]}}]
END
    mv "$config.new" "$config"
}
port_of() # port_of SERVICE FILE: what the daemon says
{
    sed -n "s|.*/health and /metrics of '$1' are served on http://127.0.0.1:\([0-9]*\)/.*|\1|p" "$2" | tail -1
}
sum()
{
    body_of /metrics | python3 "$lib_metrics" sum "$@"
}

configure 127.0.0.1:0 localhost:0
start "$folder/daemon" apiaryd --config "$config" --listen off
daemon=$last
until_true grep -q "of 'second' are served" "$folder/daemon"
first=$(port_of first "$folder/daemon") second=$(port_of second "$folder/daemon")
[ -n "$first" ] && [ -n "$second" ] && [ "$first" != "$second" ] || fail "ports '$first' and '$second'"
grep -q "'third'" "$folder/daemon" && fail 'the third has no address'

# ---- each for itself

port=$first
expect 0 '^503$' ask /health
start "$folder/one" apiary queen first --config "$config"
one=$last
until_true status_of 200 /health
port=$second
expect 0 '^503$' ask /health
expect 0 '"swarms":\[\]' body_of /health
start "$folder/two" apiary queen second --config "$config"
start "$folder/three" apiary queen third --config "$config"
until_true status_of 200 /health
for i in 1 2 3; do expect 0 '' apiary delegate text.upper abc --from second; done
expect 0 '' apiary delegate text.lower ABC --from third
port=$first
ended()
{
    [ "$(sum apiary_agent_tasks_ended_total outcome=done)" = "$1" ]
}
until_true ended 3
expect 0 '"service":"first"' body_of /health
expect 0 'families' python3 "$lib_metrics" check < <(body_of /metrics)
expect 0 'families' python3 "$lib_metrics" check --openmetrics < <(body_of --header 'Accept: application/openmetrics-text' /metrics)
expect 0 '^3$' sum apiary_calls_total caller=second capability=text.upper
expect 0 '^1$' sum apiary_capability_providers
body_of /metrics >"$folder/first"
grep -E 'service="(second|third)"|caller="third"|text\.lower|text\.same|apiary_members|apiary_tasks\{' "$folder/first" && fail 'first tells of others'
port=$second
until_true ended 1
expect 0 '^3$' sum apiary_calls_total caller=second
expect 0 '^1$' sum apiary_calls_total caller=third

# ---- what is refused, as by the coordinator

expect 0 '^404$' ask /v1/status
expect 0 "/health and /metrics of 'second' are here" body_of /livez
expect 0 '^405$' ask --method POST /health
expect 0 '^421$|^403$|^400$' ask --header 'Host: an.other.site' /health
expect 0 '^400$' ask '/health?verbose=1'
expect 0 '^414$|^431$' ask "/health$(printf '/%.0s' $(seq 20000))"
# Those who say nothing take no place of another service, and are ended.
exec 8<>"/dev/tcp/127.0.0.1/$second" || fail 'no connection'
for i in $(seq 40); do (exec 9<>"/dev/tcp/127.0.0.1/$second" && exec sleep 30) 2>/dev/null & idle+=($!); done
port=$first
for i in 1 2 3; do expect 0 '^200$' ask /health; done
kill "${idle[@]}" 2>/dev/null
exec 8>&-
port=$second
until_true status_of 200 /health

# ---- a queen is killed, and comes back

port=$first
kill -KILL "$one"
until_true status_of 503 /health
start "$folder/again" apiary queen first --config "$config"
until_true status_of 200 /health

# ---- the coordinator is killed; the next has the addresses that the file says by then, and one of them is in use

configure "127.0.0.1:$first" "127.0.0.1:$second"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
python3 -c "
import socket, sys, time
s = socket.create_server(('127.0.0.1', $second), reuse_port=False)
print('taken', flush=True)
time.sleep(600)" >"$folder/taken" & taker=$!
until_true grep -q taken "$folder/taken"
start "$folder/next" apiaryd --config "$config" --listen off
next=$last
until_true grep -q "of 'second' are not served: 127.0.0.1:$second: Address already in use; it is tried again" "$folder/next"
port=$first
until_true status_of 200 /health
until_true grep -q "127.0.0.1:$second: Address already in use" <(apiary events --kind http-unserved 2>&1)
kill "$taker"
wait "$taker" 2>/dev/null
port=$second
until_true status_of 200 /health
[ "$(grep -c 'Address already in use' "$folder/next")" -eq 1 ] || fail 'a busy port is told again and again'

# ---- open to others: Hosts are judged as the coordinator judges them

kill -KILL "$next"
wait "$next" 2>/dev/null
configure 0.0.0.0:0 127.0.0.1:0
start "$folder/wide" apiaryd --config "$config" --listen off --hosts other
until_true grep -q "of 'first' are served" "$folder/wide"
port=$(sed -n "s|.*of 'first' are served on http://0.0.0.0:\([0-9]*\)/.*|\1|p" "$folder/wide")
for host in other:80 10.1.2.3 "$(uname -n)"; do until_true status_of 200 --header "Host: $host" /health; done
expect 0 "the Host is 'evil.org'" body_of --header 'Host: evil.org' /metrics

# ---- the file

configure 127.0.0.1:4300 127.0.0.1:4300
expect 3 "listen: 'first' has 127.0.0.1:4300 already" apiary check --config "$config"
configure 127.0.0.1:4100 127.0.0.1:4300
expect 3 'listen: the coordinator itself has 127.0.0.1:4100' apiary check --config "$config"
configure here 127.0.0.1:4300
expect 3 "listen: 'here' is no address" apiary check --config "$config"
ends
