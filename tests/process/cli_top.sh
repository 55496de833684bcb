#!/bin/bash
# apiary top, on a terminal and without one: under load, while a queen is killed, in small terminals, until it is told to end; when
# the segment goes and another comes.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
python3 -c 'import sys; sys.path.append("/usr/lib/python3/dist-packages"); import pyte' 2>/dev/null || {
    echo 'python3-pyte is missing; it reads the screen'
    exit 77
}
cat >"$config" <<END
meta_registry: {members: 64, lanes: 128, tasks: 512}
swarms:
  - service: text_service
    queen: {instances: 2}
    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]
  - service: other_service
    agents:
      - {name: fails, kind: exec, capabilities: [text.fails], config: {command: [sh, -c, 'exit 7']}}
      - {name: gate, kind: exec, capabilities: [gate], config: {concurrency: 1, command: [sh, -c, 'read x <$folder/gate']}}
END
mkfifo "$folder/gate"

# ---- without a terminal

expect 3 'no such segment' apiary top
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true grep -q created "$folder/daemon"
start "$folder/first" apiary queen text_service --instance 0 --config "$config"
queen=$last
start "$folder/second" apiary queen text_service --instance 1 --config "$config"
second=$last
start "$folder/other" apiary queen other_service --config "$config"
other=$last
until_true apiary check
expect 0 '^text_service +passing +2/2 +0\.0 +- +- +- +- +0 ' apiary top --once --interval 50ms --wide
for i in 1 2 3; do expect 0 '' apiary delegate gate --detach; done
waits() { apiary top --once --interval 50ms --wide | grep -qE '^other_service .* 2 +[0-9.]+ [mu]?s +1 '; }
until_true waits
expect 0 '^0 gate +- .* 2 +[0-9.]+ [mu]?s +1 +- +-$' apiary top other_service --once --interval 50ms --wide
expect 64 'there is no column' apiary top --sort nothing
expect 64 'is none of 50' apiary top --percentile 12
expect 64 'is no time' apiary top --interval 1ms
expect 4 "nothing is known of 'nobody'" apiary top nobody --interval 50ms
expect 0 'text_service' apiary top --once --interval 50ms --filter text
grep -q other_service <<<"$output" && fail 'the filter keeps what it should not'
(while [ -p "$folder/gate" ]; do apiary delegate text.upper abc; apiary delegate text.fails abc; done) >/dev/null 2>&1 &
load=$!
told() # the numbers of an interval in which both have ended some
{
    apiary top --json --interval 1s >"$folder/json" && python3 - "$folder/json" <<'END'
import json, sys
o = json.load(open(sys.argv[1]))
rows = {r["name"]: r for r in o["rows"]}
text, other = rows["text_service"], rows["other_service"]
assert o["interval_ns"] >= 1e9 and o["schema"] == 1
assert text["kind"] == "service" and text["state"] == "passing" and text["instances"] == 2, text
assert text["ended"] > 0 and text["failed"] == 0 and text["success"] == 1 and text["rate"] > 0, text
assert 0 < text["ran_p50_ns"] <= text["ran_ns"] and text["processor"] >= 0 and text["memory_bytes"] > 0, text
assert other["failed"] == other["ended"] > 0 and other["success"] == 0, other
assert other["queued"] >= 2 and other["running"] >= 1 and other["oldest_ns"] > 0, other
END
}
until_true told

# ---- on a terminal, under load

mkfifo "$folder/words" "$folder/answers"
terminal() # terminal COMMAND...: on one of its own
{
    python3 "$APIARY_SOURCE/tests/process/lib_top.py" "$@" <"$folder/words" >"$folder/answers" 7>&- &
    driver=$!
    exec 7>"$folder/words" 6<"$folder/answers"
}
say() { echo "$*" >&7; }
answers() # answers WANTED WHAT
{
    local answer more
    read -r answer <&6
    [ "$answer" = "$1" ] && return
    fail "$2, but '$answer'"
    while [ "$answer" = FAILED ] && read -r -t 1 more <&6; do echo "    $more"; done
}
shows() # shows REGEX: until the screen does
{
    say until "$1"
    answers shows "the screen shows '$1'"
}
lacks()
{
    say absent "$1"
    answers shows "the screen does not show '$1' any more"
}
ended() # ended HOW
{
    say end
    answers "$1" "it $1"
    exec 7>&- 6<&-
    wait "$driver"
}
terminal apiary top --interval 200ms
say size 24 160
shows '^text_service +passing +2/2 +[0-9.]+ .* 100\.00% '
shows '^other_service +\w+ +[01]/1 +[0-9.]+ .* [0-9.]+% +[23] '
shows '2 services, [23] of 3 instances pass'
kill -KILL "$queen"
shows '^text_service +down +1/2 +[0-9.]+ '
say keys '\r' # the worst is chosen
shows '^text_service/0 +down '
shows '^agent 1 upper .* 100\.00% '
shows '^\(clients\) -> text\.upper .*\*'
say keys '\x1b'
shows '^other_service '
say keys '/other\r'
lacks '^text_service '
shows 'filter: other'
say keys '/\x15\r'
shows '^text_service '
say keys '?'
shows 'any key +back'
say keys x
shows '^text_service '
say keys p
shows 'p99\.9 '
say keys N
shows 'by NAME'
say keys NQ
shows 'by QUEUED'
say keys ' '
shows 'PAUSED'
say keys ' '
lacks 'PAUSED'
say keys w
shows 'of the last [0-9]'
for size in '24 80' '10 40' '5 20' '3 9' '1 1' '2 300' '60 200'; do say size "$size"; done
say size 20 162
shows '^text_service +down .*(\n.*)*\nq end'
say signal TERM
ended 'ended 0 restored'
terminal env NO_COLOR=1 TERM=vt100 apiary top
say size 24 100
shows '^text_service '
say keys q
ended 'ended 0 broken' # such a terminal has no other screen to come back from
terminal env TERM=nothing apiary top
ended 'ended 77 broken'

# ---- the segment goes, and another one comes

terminal apiary top --interval 200ms
say size 24 160
shows '^text_service '
kill "$load"
kill -KILL "$daemon" "$second" "$other"
expect 0 "" apiary segment rm -f "$APIARY_SEGMENT"
shows 'has gone; waiting'
start "$folder/daemon" apiaryd --config "$config"
shows 'nothing is registered'
start "$folder/other" apiary queen other_service --config "$config"
shows '^other_service +passing '
lacks 'waiting'
say keys q
ended 'ended 0 restored'
ends
