#!/bin/bash
# The coordinator's HTTP server: what it answers and how it refuses, metrics that are those of apiary metrics, readiness that follows the
# services, a port that is in use, and a coordinator that is killed.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
base=$APIARY_SEGMENT
trap 'for APIARY_SEGMENT in "$base-c" "$base-b" "$base"; do cleanup; done' EXIT
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256}
swarms:
  - service: text_service
    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]
END

expect 64 "listen is 'here'" apiaryd --config "$config" --listen here
expect 64 "APIARY_LISTEN is '1:2:3'" env APIARY_LISTEN=1:2:3 apiaryd --config "$config"
start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"

# ---- it lives, and is ready when the services are

expect 0 '^ok$' body_of /livez
expect 0 '^503$' ask /readyz
expect 0 '"ready":false,"lacking":\[\{"what":"text_service","why":"no instance has registered"\}\]' body_of /readyz
start "$folder/queen" apiary queen text_service --config "$config"
queen=$last
until_true status_of 200 /readyz
expect 0 '^\{"schema":1,"ready":true,"lacking":\[\]\}$' body_of /readyz
expect 0 '' apiary delegate text.upper abc
expect 0 '^200$' ask --socket "$socket" --header 'Host: any.where' /livez
[ "$(stat -c %a "$socket")" = 600 ] || fail "the socket's mode: $(stat -c %a "$socket")"

# ---- metrics: both forms, the same names as the command's

lib_metrics=$APIARY_SOURCE/tests/process/lib_metrics.py
expect 0 'families' python3 "$lib_metrics" check < <(body_of /metrics)
body_of --header 'Accept: application/openmetrics-text; version=1.0.0' /metrics >"$folder/open"
expect 0 'families' python3 "$lib_metrics" check --openmetrics <"$folder/open"
diff <(body_of /metrics | python3 "$lib_metrics" names) <(apiary metrics | python3 "$lib_metrics" names) || fail 'the command has other metrics'
done_is()
{
    [ "$(body_of /metrics | python3 "$lib_metrics" sum apiary_agent_tasks_ended_total outcome=done)" = "$1" ]
}
until_true done_is 1
for i in 1 2 3 4; do expect 0 '' apiary delegate text.upper abc; done
until_true done_is 5

# ---- headers, and what is refused

ask /metrics >"$folder/head"
for header in 'Content-Type: text/plain; version=0.0.4; charset=utf-8' 'Cache-Control: no-store' 'X-Content-Type-Options: nosniff' 'kept: yes'; do
    grep -qxF "$header" "$folder/head" || fail "/metrics lacks '$header': $(sed '/^$/q' "$folder/head")"
done
expect 0 '^Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8$' ask --header 'Accept: application/openmetrics-text' /metrics
expect 0 '^Content-Type: text/html; charset=utf-8$' ask /
# The page: all of its files, which the browser keeps and asks for again by their tag, and no other.
for file in / /main.js /d3.min.js /icon.svg; do
    ask "$file" >"$folder/head"
    expect 0 '^200$' sed -n 1p "$folder/head"
    grep -q "^Content-Security-Policy: default-src 'self';" "$folder/head" || fail "$file has no policy"
    tag=$(sed -n 's/^ETag: //p;/^$/q' "$folder/head")
    expect 0 '^304$' ask --header "If-None-Match: W/\"x\", $tag" "$file"
    [ -z "$(body_of --header "If-None-Match: $tag" "$file")" ] || fail "$file is sent again"
    expect 0 '^200$' ask --header 'If-None-Match: "0123456789abcdef"' "$file"
done
body_of /main.js | cmp - "$APIARY_SOURCE/tools/dashboard/main.js" || fail 'the script of the page is another'
[ -z "$(body_of --method HEAD /metrics)" ] || fail 'HEAD has a body'
expect 0 '^Content-Length: [0-9]{4,}$' ask --method HEAD /metrics
refused() # refused STATUS PATTERN ARGUMENT...
{
    expect 0 "^$1\$" ask "${@:3}"
    expect 0 "^\{\"schema\":1,\"status\":$1,\"error\":\".*$2.*\"\}" body_of "${@:3}"
}
refused 404 "there is no '/nothing'" /nothing
refused 404 "there is no '/dashboard/main.js'" /dashboard/main.js
refused 405 'POST is not for /metrics; GET and HEAD are' --method POST /metrics
expect 0 '^Allow: GET, HEAD$' ask --method DELETE /metrics
refused 413 'has a body' --body hello /metrics
refused 403 "the Host is 'evil.org'" --header 'Host: evil.org' /metrics
refused 403 'a page of another site asks' --header 'Sec-Fetch-Site: cross-site' /v1/history
expect 0 '^200$' ask --header 'Sec-Fetch-Site: cross-site' /
refused 404 "there is no '/x...; /" '/x%22'
expect 0 '^414$' ask "/$(printf 'a%.0s' {1..20000})"
expect 0 '^431$' ask --header "X: $(printf 'a%.0s' {1..20000})" /livez
expect 0 '^ok' body_of /livez

# ---- readiness goes with the service

kill -KILL "$queen"
until_true status_of 503 /readyz
expect 0 'text_service' body_of /readyz

# ---- the coordinator is killed, and its successor serves on the same port and socket

kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
expect 1 'refused' ask /livez
start "$folder/next" apiaryd --config "$config" --listen "127.0.0.1:$port"
served "$folder/next"
daemon=$last
expect 0 '^ok$' body_of /livez
expect 0 '^ok$' body_of --socket "$socket" /livez
done_is 5 || fail 'the counts of before are gone'

# ---- a port that is in use: the next coordinator goes on, says so, and takes it when it is free

export APIARY_SEGMENT=$APIARY_SEGMENT-b
start "$folder/beside" apiaryd --config "$config" --listen "127.0.0.1:$port"
beside=$last
until_true grep -q "HTTP is not served: 127.0.0.1:$port: Address already in use; it is tried again" "$folder/beside"
until_true grep -q created "$folder/beside"
expect 0 "coordinator pid $beside" apiary status
until_true grep -q "HTTP is not served, which is tried again: port $port: 127.0.0.1:$port: Address already in use" <(apiary events --kind http-unserved 2>&1)
[ "$(grep -c 'Address already in use' "$folder/beside")" -eq 1 ] || fail 'a busy port is told again and again'
kill -TERM "$daemon"
wait "$daemon" || fail "the daemon left with $?"
[ ! -e "$socket" ] || fail 'the socket is left behind'
until_true grep -q "served on http://127.0.0.1:$port/" "$folder/beside"
served "$folder/beside"
expect 0 '^ok$' body_of /livez

# ---- none of its descriptors is inherited, none is a standard one

inodes=$({ awk -v p="$(printf ':%04X' "$port")" '$2 ~ p "$" { print $10 }' /proc/net/tcp; awk -v s="$socket" '$8 == s { print $7 }' /proc/net/unix; } | xargs)
[ "$(wc -w <<<"$inodes")" -ge 2 ] || fail "the sockets were not found: $inodes"
for inode in $inodes; do
    fd=$(find "/proc/$beside/fd" -lname "socket:\[$inode\]" -printf %f)
    [ -n "$fd" ] || continue # a connection that has ended
    [ "$fd" -gt 2 ] || fail "$fd is a socket"
    flags=$(sed -n 's/^flags:[^0-9]*//p' "/proc/$beside/fdinfo/$fd")
    ((0$flags & 02000000)) || fail "socket $fd is inherited: $flags"
done
kill -TERM "$beside"
wait "$beside" || fail "the daemon left with $?"

# ---- off, and open to others

export APIARY_SEGMENT=${APIARY_SEGMENT%-b}-c
sed -i 's/^meta_registry: {/meta_registry: {listen: off, /' "$config"
APIARY_LISTEN='' start "$folder/off" apiaryd --config "$config"
off=$last
until_true grep -q created "$folder/off"
grep -q HTTP "$folder/off" && fail 'off, and yet it serves'
[ ! -e "${socket%-b/http.sock}-c/http.sock" ] || fail 'off, and yet it has a socket'
kill -TERM "$off"
wait "$off" || fail "the daemon left with $?"
start "$folder/wide" apiaryd --config "$config" --listen 0.0.0.0:0 --hosts other,a.name.of.this.host
until_true grep -q 'open to all who can reach that address' "$folder/wide"
served "$folder/wide"
for host in a.name.of.this.host other:80 10.1.2.3 "$(uname -n)"; do expect 0 '^ok$' body_of --header "Host: $host" /livez; done
refused 403 "the Host is 'evil.org'; only numbers of addresses" --header 'Host: evil.org' /livez
ends
