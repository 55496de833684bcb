#!/bin/bash
# The HTTP server among those who mean it badly: it goes on answering, holds no more connections and memory than it may, and those who
# delegate notice nothing.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256}
swarms:
  - service: echo_service
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo], config: {greeting: ""}}]
END
ulimit -n 4096 2>/dev/null
start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"
start "$folder/queen" apiary queen echo_service --config "$config"
until_true apiary check

resident()
{
    awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status"
}

# Those who delegate, meanwhile: one call after another.
: >"$folder/asking"
(
    while [ -e "$folder/asking" ]; do
        said=$(apiary delegate echo ping 2>&1) && [ "$said" = ping ] || echo "$said" >>"$folder/refused"
        printf . >>"$folder/asked"
    done
) &
asking=$!
before=$(resident)
python3 "$APIARY_SOURCE/tests/process/lib_http_abuse.py" "$port" "$(apiary token)" >"$folder/abuse" 2>&1 || fail "$(cat "$folder/abuse")"
after=$(resident)
rm "$folder/asking"
wait "$asking"
[ ! -s "$folder/refused" ] || fail "$(wc -l <"$folder/refused") of $(stat -c %s "$folder/asked") calls were not answered: $(head -2 "$folder/refused")"
echo "$(stat -c %s "$folder/asked") calls answered meanwhile; resident $before kB before, $after kB after"
[ -n "$APIARY_SANITIZE" ] || [ "$((after - before))" -lt 200000 ] || fail "the daemon has grown from $before to $after kB"
gone "$daemon" && fail "the daemon is gone: $(tail -3 "$folder/daemon")"

expect 0 'ready' apiary status
apiary events --kind operated 2>/dev/null | grep -q . && fail "somebody has changed something: $(apiary events --kind operated)"

# All that were left open have ended; none was left to a reader's pleasure.
none_left()
{
    [ "$(find "/proc/$daemon/fd" -lname 'socket:*' | wc -l)" -le 6 ]
}
until_true none_left
expect 0 '^ok$' body_of /livez

# ---- without a free descriptor it rests, and does not turn round and round; with some it answers again

ticks()
{
    awk '{ print $14 + $15 }' "/proc/$daemon/stat"
}
most=$(ulimit -n)
prlimit --pid "$daemon" --nofile="$(find "/proc/$daemon/fd" -mindepth 1 | wc -l):$most"
exec 9<>"/dev/tcp/127.0.0.1/$port" || fail 'no connection in the line of those that wait'
before=$(ticks)
began=${EPOCHREALTIME/./}
until [ $((${EPOCHREALTIME/./} - began)) -ge 1000000 ]; do turn; done
[ $((($(ticks) - before) * 2)) -lt "$(getconf CLK_TCK)" ] || fail "it takes $(($(ticks) - before)) ticks of a second while nothing can be accepted"
expect 0 '^ping$' apiary delegate echo ping
prlimit --pid "$daemon" --nofile="$most:$most"
printf 'GET /livez HTTP/1.0\r\n\r\n' >&9
grep -q '200 OK' <&9 || fail 'what waited for a descriptor was not answered'
exec 9>&-
# ---- without memory it refuses, and goes on; with some it answers again

ulimit_data()
{
    prlimit --pid "$daemon" --data="$1"
}
ulimit_data "$(awk '/^VmData/ { print ($2 - 20000) * 1024 }' "/proc/$daemon/status")":unlimited
lacks()
{
    for path in /metrics /v1/stats /v1/metrics /v1/tasks /v1/pairs; do ask "$path" 2>/dev/null | head -1; done | grep -qx 503
}
[ -n "$APIARY_SANITIZE" ] || until_true lacks
gone "$daemon" && fail "the daemon is gone: $(tail -3 "$folder/daemon")"
expect 0 '^ping$' apiary delegate echo ping
ulimit_data unlimited:unlimited
until_true status_of 200 /metrics
until_true status_of 200 /v1/status

kill -TERM "$daemon"
wait "$daemon" || fail "the daemon left with $?: $(tail -3 "$folder/daemon")"
ends
