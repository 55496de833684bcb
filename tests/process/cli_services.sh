#!/bin/bash
# Who is registered, from the command line: by service, major and tags; and each change of that, told once by a watch, whoever is killed
# or stopped: a registration, a mode, a weight, a queen that is killed, one that stops, and a watcher that falls behind.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512, instance_changes: 16}
swarms:
  - service: server
    version: "2.1"
    tags: [eu, gpu]
    health_endpoint: http://localhost:1/health
    metrics_endpoint: http://localhost:1/metrics
    weight: 70
    agents: [{name: a, kind: exec, capabilities: [text.say@2], config: {command: [cat]}}]
  - service: store
    version: "1"
    tags: eu
    agents: [{name: b, kind: exec, capabilities: [text.say@1], config: {command: [cat]}}]
END
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
flat() { "$@" --json | tr -d ' \n'; }

# told FILE: what a watch has printed so far, without the revisions. has FILE LINES: whether it has printed so many.
told() { tr -s ' ' <"$1" | sed -E 's/^([a-z]+) [0-9-]+/\1/'; }
has() { [ "$(grep -c '' "$1")" -ge "$2" ]; }

start "$folder/watch" apiary services --watch
until_true has "$folder/watch" 1
start "$folder/json" apiary services --watch --tag gpu --json
until_true grep -q '"synced"' "$folder/json"

start "$folder/server" apiary queen server --config "$config"
server=$last
until_true has "$folder/watch" 2
start "$folder/store" apiary queen store --config "$config"
until_true has "$folder/watch" 3

# ---- as they are
expect 0 '^server/0: eu gpu$' apiary services
expect 0 '^server +0 +a +yes' apiary services server
expect 0 '^server +0 +a +yes' apiary services server@2
expect 4 'no instance is such' apiary services server@1
expect 0 '^store +0 +b +yes' apiary services --tag eu
output=$(flat apiary services --tag 'gpu eu')
[ "$(grep -o '"service":"[a-z]*"' <<<"$output")" = '"service":"server"' ] || fail "two tags: $output"
output=$(flat apiary services server)
grep -q '"version":"2.1","tags":\["eu","gpu"\],"weight":70,"port":0,"health_endpoint":"http://localhost:1/health","metrics_endpoint":"http://localhost:1/metrics"' <<<"$output" ||
    fail "the record: $output"
flat apiary status server | grep -q '"tags":\["eu","gpu"\]' || fail "status says nothing of tags"
shmdump "$APIARY_SEGMENT" --json | grep -q '"tags": "eu gpu"' || fail "shmdump says nothing of tags"
expect 0 '^server ' apiary discover text.say --tag gpu
[ "$(flat apiary discover text.say --tag eu | grep -o '"service"' | grep -c '')" = 2 ] || fail "both have the tag eu"
expect 4 'nobody' apiary discover text.say --tag us
expect 64 'not a tag' apiary services --tag 'Eu'
expect 64 'not a name' apiary services Server
expect 64 'not a revision' apiary services --watch --revision now
expect 64 'add --watch' apiary services --revision 5

# ---- each change
expect 0 '' apiary drain server
expect 0 '' apiary resume server
expect 0 '' apiary weight server 7
until_true has "$folder/watch" 6
kill -KILL "$server"
wait "$server" 2>/dev/null
until_true has "$folder/watch" 7
revision=$(awk 'END { print $2 }' "$folder/watch")
start "$folder/server" apiary queen server --config "$config"
server=$last
until_true has "$folder/watch" 8
kill "$server"
wait "$server"
until_true has "$folder/watch" 10
diff - <(told "$folder/watch") <<'SAYS' || fail "the watch has told something else"
synced
registered server/0 ready 70 2.1 eu gpu
registered store/0 ready 100 1 eu
mode server/0 drain 70 2.1 eu gpu
mode server/0 ready 70 2.1 eu gpu
weight server/0 ready 7 2.1 eu gpu
died server/0 ready 7 2.1 eu gpu
registered server/0 ready 7 2.1 eu gpu
mode server/0 drain 7 2.1 eu gpu
left server/0 drain 7 2.1 eu gpu
SAYS
until_true grep -q '"left"' "$folder/json"
grep -q '"store"' "$folder/json" && fail "a watch is told of what has not its tag"
tr -d ' \n' <"$folder/json" | grep -qE '"event":"died","revision":[0-9]+,"instance":\{"service":"server","instance":"0","registration":[0-9]+,"alive":false,"pid":null' ||
    fail "of the death: $(cat "$folder/json")"

# ---- from a revision on, by another watch
start "$folder/again" apiary services --watch --revision "$revision"
until_true has "$folder/again" 3
diff <(tail -n 3 "$folder/watch") "$folder/again" || fail "another watch goes on elsewhere"

# ---- one that does not read falls behind, is told so, and is given the set anew
start "$folder/slow" apiary services --watch store
slow=$last
until_true has "$folder/slow" 2
stop "$slow"
for weight in {201..220}; do
    expect 0 '' apiary weight store "$weight"
    until_true has "$folder/watch" $((10 + weight - 200))
done
kill -CONT "$slow"
until_true has "$folder/slow" 5
diff - <(told "$folder/slow") <<'SAYS' || fail "the slow one was told something else"
present store/0 ready 100 1 eu
synced
behind
present store/0 ready 220 1 eu
synced
SAYS
told "$folder/watch" | tail -n 20 | diff <(for weight in {201..220}; do echo "weight store/0 ready $weight 1 eu"; done) - ||
    fail "the one that reads has missed some"
expect 0 'sound' shmdump "$APIARY_SEGMENT" --verify
ends
