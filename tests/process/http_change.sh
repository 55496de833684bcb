#!/bin/bash
# What changes something over HTTP: who may, what it does and answers, and the event that it leaves; the token, its file and its renewal.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_operated.sh" || exit 1
operated
secret=${socket%/*}/http.token
[ "$(stat -c %a "$secret")" = 600 ] || fail "the token's mode: $(stat -c %a "$secret")"
token=$(apiary token) || fail 'there is no token'
[ "$token" = "$(cat "$secret")" ] && [ "${#token}" -eq 64 ] || fail "apiary token says $token"

json=(--method POST --header 'Content-Type: application/json')
post() # post PATH BODY [ARGUMENT...]: with the token
{
    body_of "${json[@]}" --header "Authorization: Bearer $token" --body "$2" "${@:3}" "$1"
}
refused() # refused STATUS PATTERN PATH BODY [ARGUMENT...]
{
    expect 0 "^$1\$" ask "${json[@]}" --header "Authorization: Bearer $token" --body "$4" "${@:5}" "$3"
    expect 0 "^\{\"schema\":1,\"status\":$1,\"error\":\".*$2.*\"\}" post "$3" "$4" "${@:5}"
}
why='"reason":"for the test"'
told() # told PATTERN: an event of that is kept, or in the log
{
    apiary events --kind operated 2>/dev/null | grep -qE "$1"
}

# ---- who may

for token_of in '' 'Authorization: Bearer' "Authorization: Basic $token" "Authorization: Bearer ${token%?}x" "Authorization: Bearer $token$token"; do
    expect 0 '^401$' ask "${json[@]}" ${token_of:+--header "$token_of"} --body "{\"service\":\"text_service\",$why}" /v1/drain
done
expect 0 '^WWW-Authenticate: Bearer' ask "${json[@]}" --body '{}' /v1/drain
expect 0 "needs 'Authorization: Bearer TOKEN'; 'apiary token' prints the token" body_of "${json[@]}" --body '{}' /v1/drain
body="{\"service\":\"text_service\",$why}"
refused 403 "a page of 'http://evil.org' asks" /v1/drain "$body" --header 'Origin: http://evil.org'
refused 403 "a page of 'null' asks" /v1/drain "$body" --header 'Origin: null'
refused 403 'a page of another site asks' /v1/drain "$body" --header 'Sec-Fetch-Site: cross-site'
refused 403 "the Host is 'evil.org'" /v1/drain "$body" --header 'Host: evil.org'
refused 415 'application/json is expected' /v1/drain "$body" --header 'Content-Type: text/plain' --header 'X: y'
refused 405 'GET is not for /v1/drain; POST is' /v1/drain "$body" --method GET
expect 0 '^Allow: POST$' ask --method DELETE /v1/drain
ask --method OPTIONS --header 'Origin: http://evil.org' /v1/drain | grep -qi '^Access-Control' && fail 'another origin is invited'
refused 422 'reason: a text of 1 to 72 bytes' /v1/drain '{"service":"text_service"}'
refused 400 'the body is no JSON' /v1/drain '{'
refused 413 'at most' /v1/drain "{\"service\":\"$(printf 'a%.0s' {1..70000})\"}"
expect 0 '^mode$' sh -c 'apiary status --json | python3 -c "import json, sys; print(\"mode\" if all(s[\"mode\"] == \"ready\" for s in json.load(sys.stdin)[\"swarms\"]) else \"changed\")"'
told . && fail "what was refused has left an event: $(apiary events --kind operated)"

# ---- instances: as the commands do

expect 0 '"matched":2,"changed":2,"down":0,"left":0,.*"said":"2 instances drained"' post /v1/drain "{\"service\":\"text_service\",\"by\":\"ann\",\"reason\":\"für später\"}" --header "Origin: http://127.0.0.1:$port"
expect 0 'text_service/1: drain: f\?r sp\?ter' apiary status
expect 0 '"changed":0,.*"said":"2 instances drained already"' post /v1/drain "{\"service\":\"text_service\",\"by\":\"ann\",\"reason\":\"für später\"}"
until_true told 'answered 200, changed 2, by user [0-9]+, pid [0-9]+: drain, by ann: für später; text_service$'
expect 0 '"matched":1,"changed":1,.*"said":"1 instance ready"' post /v1/resume "{\"service\":\"text_service\",\"instance\":\"1\",$why}"
refused 409 '2 instances are meant by now, not 3' /v1/resume "{\"service\":\"text_service\",\"expect\":3,$why}"
until_true told 'answered 409, changed 0, .*: resume, by the token.s holder: for the test; text_service$'
expect 0 '"said":"2 instances ready"' post /v1/resume "{\"service\":\"text_service\",\"expect\":2,$why}"
refused 404 "no instance of 'nobody' is registered" /v1/drain "{\"service\":\"nobody\",$why}"
refused 404 "no instance 9 of 'text_service' is registered" /v1/drain "{\"service\":\"text_service\",\"instance\":\"9\",$why}"
task=$(apiary delegate gate --detach)
expect 0 '"left":1,.*"said":"1 instance paused; 1 task is left"' post /v1/pause "{\"service\":\"gate_service\",$why}"
expect 0 'gate_service/0: pause: for the test' apiary status
expect 0 '"said":"1 instance ready"' post /v1/resume "{\"service\":\"gate_service\",$why}"
expect 0 '"said":"2 instances weighted"' post /v1/weight "{\"service\":\"text_service\",\"weight\":250,$why}"
weight_is() { apiary services --json | grep -q "\"weight\": *$1"; }
until_true weight_is 250
expect 0 '"said":"2 instances weighted"' post /v1/weight "{\"service\":\"text_service\",\"weight\":null,$why}"
until_true sh -c '! apiary services --json | grep -q "\"weight\": *250"'

# ---- the number of instances: by `apiary up`

expect 0 '"said":"text_service has 3 instances"' post /v1/scale "{\"service\":\"text_service\",\"instances\":3,$why}"
expect 0 'text_service +3 ' apiary scale
until_true told 'answered 200, changed 3, .*: scale, by the token.s holder: for the test; text_service$'
refused 404 "has no service 'nobody'" /v1/scale "{\"service\":\"nobody\",\"instances\":3,$why}"
refused 422 'from 1 to 64' /v1/scale "{\"service\":\"text_service\",\"instances\":65,$why}"

# ---- tasks

second=$(apiary delegate gate --detach)
expect 0 "\"changed\":1,.*\"failed\":\[\{\"what\":\"1-1-1\",\"error\":\"there never was such a task\"\}\].*\"said\":\"1 task cancelled; 1 could not be\"" post /v1/tasks/cancel "{\"tasks\":[\"$second\",\"1-1-1\"],$why}"
refused 409 "nothing was done: $second: it has ended" /v1/tasks/cancel "{\"tasks\":[\"$second\"],$why}"
for i in 1 2 3 4; do apiary delegate text.fails abc --retry 2,backoff=1ms >/dev/null 2>&1; done
numbers()
{
    apiary dead ls --json | python3 -c 'import json, sys; print(*[d["number"] for d in json.load(sys.stdin)["dead"]])'
}
dead_are() { [ "$(numbers | wc -w)" -eq "$1" ]; }
until_true dead_are 4
read -r one two _ < <(numbers)
refused 409 '4 tasks of the dead set are meant by now, not 5' /v1/dead/discard "{\"all\":true,\"expect\":5,$why}"
expect 0 '"said":"2 tasks discarded"' post /v1/dead/discard "{\"numbers\":[$one,$two],\"expect\":2,$why}"
refused 409 "nothing was done: $one: it is not in the dead set" /v1/dead/discard "{\"numbers\":[$one],$why}"
refused 422 "cause: 'bored' is none" /v1/dead/retry "{\"all\":true,\"cause\":\"bored\",$why}"
expect 0 '"matched":0,' post /v1/dead/retry "{\"all\":true,\"cause\":\"crashed\",$why}"
expect 0 '"matched":2,"changed":2,.*"tasks":\[\{"number":[0-9]+,"task":"[0-9a-f-]+"\},.*"said":"2 tasks delegated anew"' post /v1/dead/retry "{\"all\":true,\"capability\":\"text.fails\",\"expect\":2,$why}"
until_true dead_are 2 # they fail as before
expect 0 '"said":"2 tasks discarded"' post /v1/dead/discard "{\"all\":true,$why}"
dead_are 0 || fail "the dead set is not empty: $(apiary dead ls)"
kept=$(apiary delegate text.upper abc --detach --keep 1h)
expect 0 '^ABC' apiary kept fetch "$kept" --wait 60s
expect 0 '"said":"1 task forgotten"' post /v1/kept/forget "{\"tasks\":[\"$kept\"],$why}"
refused 409 'no result is kept for it' /v1/kept/forget "{\"tasks\":[\"$kept\"],$why}"

# ---- over the Unix socket its user needs no token, and is named by the kernel

expect 0 '"said":"3 instances paused"' body_of "${json[@]}" --socket "$socket" --body "{\"service\":\"text_service\",$why}" /v1/pause
until_true told "changed 3, by user $(id -u), pid [0-9]+: pause: for the test; text_service"
told "by user $(id -u), pid $(pgrep -P "$up" apiaryd): pause:" && fail 'the asker is taken for the coordinator'
expect 0 '^403$' ask "${json[@]}" --socket "$socket" --header 'Origin: http://evil.org' --body "{\"service\":\"text_service\",$why}" /v1/resume
expect 0 '"said":"3 instances ready"' body_of "${json[@]}" --socket "$socket" --body "{\"service\":\"text_service\",$why}" /v1/resume

# ---- the token: renewed, removed, open to others

former=$token
token=$(apiary token --renew)
[ "$token" != "$former" ] && [ "${#token}" -eq 64 ] || fail "the new token is $token"
expect 0 '"said":"3 instances ready already"' post /v1/resume "{\"service\":\"text_service\",$why}"
token=$former
refused 401 'the token is another one' /v1/resume "{\"service\":\"text_service\",$why}"
renewing=()
for i in {1..20}; do
    apiary token --renew >"$folder/renewed.$i" 2>&1 &
    renewing+=($!)
done
for i in {1..20}; do wait "${renewing[i - 1]}" || fail "renewed by several at once: $(cat "$folder/renewed.$i")"; done
grep -qxE '[0-9a-f]{64}' "$secret" || fail "no token is left of several: $(cat "$secret")"
[ -z "$(find "${secret%/*}" -name 'http.token.*')" ] || fail "a part is left behind: $(ls "${secret%/*}")"
rm "$secret"
expect 1 'there is none in' apiary token
refused 401 'the token is another one' /v1/resume "{\"service\":\"text_service\",$why}"
token=$(apiary token) || fail 'no new token was made'
expect 0 '"said":"3 instances ready already"' post /v1/resume "{\"service\":\"text_service\",$why}"
chmod 644 "$secret"
refused 503 'is not trusted: it belongs to user [0-9]+ with mode 644' /v1/resume "{\"service\":\"text_service\",$why}"
expect 1 'is not trusted' apiary token
chmod 600 "$secret"
expect 0 '"said":"3 instances ready already"' post /v1/resume "{\"service\":\"text_service\",$why}"

# ---- an `apiary up` that does not answer: the asker is told that it goes on, and the event comes when it has ended

kill -STOP "$up"
expect 0 '^202$' ask "${json[@]}" --header "Authorization: Bearer $token" --body "{\"service\":\"text_service\",\"instances\":2,\"by\":\"ben\",$why}" /v1/scale
expect 0 '^ok$' body_of /livez
told 'scale, by ben' && fail 'it is told before it has ended'
kill -CONT "$up"
until_true told 'answered 200, changed 2, .*: scale, by ben: for the test; text_service$'

# ---- a coordinator that ends meanwhile: the asker is not told of a failure; a second request that is there already rests no more

kill -STOP "$up"
daemon=$(pgrep -P "$up" apiaryd)
descriptors() { find "/proc/$daemon/fd" -type l | wc -l; }
before=$(descriptors)
python3 - "$port" "$token" <<'END' >"$folder/ends" &
import json, socket, sys
body = json.dumps({"service": "text_service", "instances": 3, "by": "eve", "reason": "for the test"})
ask = f"POST /v1/scale HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {sys.argv[2]}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall((ask + ask).encode())
while part := s.recv(65536):
    print(part.decode())
END
asker=$!
more() { [ "$(descriptors)" -ge $((before + 2)) ]; } # the connection and that to `apiary up`
until_true more
kill -TERM "$daemon"
wait "$asker" || fail "the asker: $(cat "$folder/ends")"
expect 0 "HTTP/1.1 202 .*apiaryd ends: what 'apiary up' has begun goes on" tr -d '\r\n' <"$folder/ends"
grep -q 'without an answer' "$folder/ends" && fail "it is told as failed: $(cat "$folder/ends")"
kill -CONT "$up"
until_true told 'answered 202, changed 0, .*: scale, by eve: for the test; text_service$'
grep -i 'fatal error\|signal 6\|abort' "$folder/up" && fail 'the coordinator was ended by its library'
kill -TERM "$up"
wait "$up"

# ---- without one nobody scales

start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"
refused 409 "no 'apiary up' looks after" /v1/scale "{\"service\":\"text_service\",\"instances\":2,$why}"
kill -TERM "$daemon"
wait "$daemon" || fail "the daemon left with $?"
ends
