#!/bin/bash
# Of the tasks that wait at an agent the most urgent is started first, also by a queen that comes after a kill; and a low one is
# started although more urgent ones keep coming.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 64, lanes: 96, tasks: 2048, queue_inlets: 2}
swarms:
  - service: queue_service
    agents:
      - name: one
        kind: exec
        capabilities: [one, {name: urgent_one, priority: urgent}, {name: modest_one, max_priority: normal}]
        config:
          command: [sh, -c, 'read -r body; until [ -e $folder/go ]; do sleep 0.05; done; echo "\$body" >>$folder/order'] # LINT: the agent's own loop
          concurrency: 1
END
queen()
{
    start "$folder/queen" apiary queen queue_service --config "$config"
    queen=$last
    until_true apiary wait --capability one --timeout 1s
}
running()
{
    [ "$(apiary task ls | grep -c ' running \|  running')" = "$1" ]
}
# backlog: one that runs, and what waits behind it
backlog()
{
    rm -f "$folder/go" "$folder/order"
    apiary delegate --detach one first >"$folder/ids"
    until_true running 1
    for body in a b c; do apiary delegate --detach one "$body"; done >>"$folder/ids"
    apiary delegate --detach --priority low one l >>"$folder/ids"
    apiary delegate --detach --priority low one m >>"$folder/ids"
    apiary delegate --detach --priority high one h >>"$folder/ids"
    apiary delegate --detach --priority urgent one u >>"$folder/ids"
    apiary delegate --detach urgent_one v >>"$folder/ids"
    apiary delegate --detach --priority urgent modest_one d >>"$folder/ids"
}
# order_is LINE: the levels of all that is behind the first, in one line, once nothing is left. In a level callers have turns.
order_is()
{
    : >"$folder/go"
    until_true sh -c '[ "$(apiary task ls | grep -c "queued\|running")" = 0 ]'
    [ "$(grep -v first "$folder/order" | tr vabcdm unnnnl | tr -d '\n')" = "$1" ] || fail "not $1: $(tr '\n' ' ' <"$folder/order")"
}
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
queen
expect 64 "'soon' cannot be that" apiary delegate --priority soon one x
backlog
priorities=$(apiary task ls --json | python3 -c '
import json, sys
print(sorted(str(t["carried"]["priority"]) for t in json.load(sys.stdin)["tasks"]))')
[ "$priorities" = "['None', 'None', 'None', 'None', 'high', 'low', 'low', 'normal', 'urgent', 'urgent']" ] || fail "$priorities"
id=$(apiary task ls --json | python3 -c '
import json, sys
print(next(t["task"] for t in json.load(sys.stdin)["tasks"] if t["carried"]["priority"] == "high"))')
expect 0 '^priority +high$' apiary task show "$id"
order_is uuhnnnnll
# Each caller has one of a level at most in a round: eight tasks share the ring, and two of one caller are in no round together.
rounds=$(apiary status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["swarms"][0]["rounds"])')
[ "$rounds" -ge 3 ] && [ "$rounds" -le 10 ] || fail "$rounds rounds"
expect 0 "$rounds" sh -c "shmdump --json | python3 -c 'import json, sys; print(sum(q[\"rounds\"] for q in json.load(sys.stdin)[\"queues\"]))'"
expect 0 '^priorities: 1 urgent, 1 high, 2 low$' apiary capability show one
expect 0 '^max_priority +normal +yes' apiary capability show modest_one

# The next queen has the table only, and keeps the order of the levels.
backlog
kill -KILL "$queen"
until_true gone "$queen"
queen
until_true running 1
running 1 || fail "$(apiary task ls)"
order_is uuhnnnnll

# Four that ask for nothing but urgent tasks, one after the other, and there is always one that waits.
flood()
{
    while [ ! -e "$folder/enough" ]; do apiary delegate --priority urgent one u || break; done
}
for i in {1..4}; do start "$folder/flood.$i" flood; done
until_true sh -c "[ \$(grep -c u '$folder/order') -gt 4 ]"
expect 0 '^$' apiary delegate --timeout 100s --priority low one low
expect 0 '^$' apiary delegate --timeout 100s one normal
: >"$folder/enough"
for i in {1..4}; do [ ! -s "$folder/flood.$i" ] || grep -qv . "$folder/flood.$i" || fail "$(cat "$folder/flood.$i")"; done
expect 0 . shmdump --verify "$APIARY_SEGMENT"
ends
