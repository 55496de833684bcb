#!/bin/bash
# What apiary stats says of tasks whose callers and ends are known: who called whom, how many ended how, with which codes, who was refused
# what; that nothing is lost or counted twice when a queen is killed; that a dead segment tells the same.
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT

cat >"$dir/stats.yaml" <<END
meta_registry: {segment: $segment, lanes: 64, members: 64, tally_rows: 64}
swarms:
  - service: s
    agents:
      - {name: echo, kind: exec, capabilities: [echo], config: {command: [cat]}}
      - {name: failing, kind: exec, capabilities: [failing], config: {command: [sh, -c, 'exit 3']}}
      - {name: gate, kind: exec, capabilities: [gate],
         config: {command: [bash, -c, 'read -r file; until [ -e "\$file" ]; do read -rt 0.05 <> <(:); done; echo through']}}
END
passing() { apiary status s --json | tr -d ' \n' | grep -q '"state":"passing"'; }

# of PYTHON [ARGUMENT...]: an expression over `d`, what apiary stats --json says; and helpers.
of()
{
    local what=$1
    shift
    apiary stats "$@" --json | python3 -c "
import json, sys
d = json.load(sys.stdin)
def agent(name): return next(a for a in d['agents'] if a['agent'] == name)
def pair(caller, capability, field):
    return sum(p[field] for p in d['pairs'] if p['caller'] == caller and p['capability'] == capability)
print($what)"
}
# is WANT PYTHON...: a task is counted right after its answer, so the first looks may come before that.
is()
{
    local want=$1 got i
    shift
    for ((i = 0; i < 50; i++)); do
        got=$(of "$@")
        [ "$got" = "$want" ] && return
        turn
    done
    fail "$* is '$got', and not '$want'"
}
sound() { "$APIARY_BIN/shmdump" --verify "$segment" >"$dir/verify" || fail "$1: $(cat "$dir/verify")"; }

"$APIARY_BIN/apiaryd" -c "$dir/stats.yaml" 2>"$dir/log" & daemon=$!
until [ -e /dev/shm$segment ]; do turn; done
"$APIARY_BIN/apiary" queen s -c "$dir/stats.yaml" 2>>"$dir/log" & queen=$!
until_true passing

# Before anything was asked a ratio is none.
expect 0 'echo +echo|^instance +agent' apiary stats
is None "agent('echo')['waited']['p50_ns']"
is None "agent('echo')['capabilities'][0]['success']"

for i in 1 2 3 4 5; do apiary delegate echo hello --from shop >/dev/null || fail "echo for shop"; done
for i in 1 2 3; do apiary delegate echo hello --from stock >/dev/null || fail "echo for stock"; done
apiary delegate echo hello >/dev/null || fail "echo"
for i in 1 2; do expect 1 'code 3' apiary delegate failing --from shop; done
expect 4 'nobody' apiary delegate nobody --from shop

is "9 9" "'%d %d' % (agent('echo')['waited']['count'], agent('echo')['ran']['count'])"
is "5 3 1 2" "'%d %d %d %d' % (pair('shop', 'echo', 'ended'), pair('stock', 'echo', 'ended'), pair('-', 'echo', 'ended'), pair('shop', 'failing', 'ended'))" --pairs
is "2 0" "'%d %d' % (pair('shop', 'failing', 'failed'), pair('shop', 'echo', 'failed'))" --pairs
is "25 25" "'%d %d' % (pair('shop', 'echo', 'bytes_in'), pair('shop', 'echo', 'bytes_out'))" --pairs
is "[0.0, 1.0]" "sorted({p['success'] for p in d['pairs'] if p['success'] is not None})" --pairs
is "APIARY_EAGENT 3 2" "'%(code)s %(agent_code)d %(count)d' % agent('failing')['capabilities'][0]['failures'][0]"
is "shop APIARY_ENOCAP 1" "'%(caller)s %(code)s %(count)d' % d['refusals'][0]"
is "True" "agent('echo')['ran']['p50_ns'] <= agent('echo')['ran']['max_ns'] * 1.06"
is "9" "sum(n for edge, n in agent('echo')['ran']['buckets'])"
expect 0 'waited p50 +p95 +p99 +p99.9 +max +ran p50' apiary stats
expect 0 '^shop +s +failing +2 +2 +0\.00 %' apiary stats --pairs
expect 0 'failing +failing +2 +2 .*0\.00 %.*2 APIARY_EAGENT 3' apiary stats
expect 0 'refused: an unknown capability of caller .shop.: 1 times APIARY_ENOCAP' apiary stats
expect 4 "nothing is known of 'nothing'" apiary stats nothing
expect 64 'interval' apiary stats --interval never
is "['failing']" "[a['agent'] for a in d['agents']]" failing
# What an agent has allocated is known; the physical memory of that where jemalloc is the allocator, which no sanitizer has.
is "True" "agent('echo')['heap_bytes'] > 0"
is "True" "agent('echo')['heap_resident_bytes'] is None or agent('echo')['heap_resident_bytes'] >= 0"
# Each task that was delegated had one pick; each of the commands is a lane, whose first search and pick are measured.
is "11" "d['registry']['picks']['only']"
is "11 True" "'%(measured)d' % d['registry']['times']['pick'] + ' %s' % (d['registry']['times']['search']['measured'] >= 11)"
is "True" "d['registry']['times']['pick']['p50_ns'] <= d['registry']['times']['pick']['max_ns']"
is "None 0" "'%(max_ns)s %(measured)d' % d['registry']['times']['recover']"
is "1" "d['registry']['events']['swarm-registered']"
expect 0 '^picked: only 11' apiary stats
expect 0 '^events: .*swarm-registered 1' apiary stats
sound "after the tasks"

# Between two moments: what was there before is not shown.
is "0 None" "'%d %s' % (agent('echo')['waited']['count'], agent('echo')['ran']['p50_ns'])" --interval 1ms
is "0.0" "agent('echo')['rate']" --interval 1ms

# One that runs, and one that waits behind it.
first=$(apiary delegate gate "$dir/open" --detach --keep 1h --from shop) || fail "gate"
until_true eval 'apiary stats gate --json | tr -d " \n" | grep -q "\"started\":1"'

# Its queen is killed: the start is lost, and was counted; the next one starts it anew.
kill -KILL "$queen"
wait "$queen" 2>/dev/null
"$APIARY_BIN/apiary" queen s -c "$dir/stats.yaml" 2>>"$dir/log" & queen=$!
until_true passing
: >"$dir/open"
expect 0 '^through$' apiary kept fetch "$first" --wait 2m
is "2 1 1" "'%d %d %d' % (agent('gate')['waited']['count'], agent('gate')['ran']['count'], agent('gate')['lost'])"
is "1" "pair('shop', 'gate', 'ended')" --pairs
# What the dead queen had counted is there, and goes on.
is "9 9" "'%d %d' % (agent('echo')['waited']['count'], agent('echo')['started'])"
apiary delegate echo hello --from shop >/dev/null || fail "echo after the kill"
is "6" "pair('shop', 'echo', 'ended')" --pairs
sound "after the kill"

# Kills under load: tasks that were answered were counted once each, but for one of each killed queen.
answered=0 kills=0
while [ "$kills" -lt 3 ]; do
    for i in 1 2 3 4; do apiary delegate echo x --from load >/dev/null && answered=$((answered + 1)); done
    kill -KILL "$queen"
    wait "$queen" 2>/dev/null
    kills=$((kills + 1))
    "$APIARY_BIN/apiary" queen s -c "$dir/stats.yaml" 2>>"$dir/log" & queen=$!
    until_true passing
done
ended=$(of "pair('load', 'echo', 'ended')" --pairs)
[ "$ended" -le "$answered" ] && [ "$ended" -ge $((answered - kills)) ] || fail "$answered tasks were answered, and $ended counted"
is "True" "d['registry']['times']['recover']['measured'] >= $kills and d['registry']['events']['swarm-died'] >= $kills"
sound "after kills"

# More names than there are rows: none is cut without a word.
for i in $(seq 80); do apiary delegate echo x --from "caller-$i" >/dev/null || fail "echo for caller-$i"; done
is "80" "sum(p['ended'] for p in d['pairs'] if p['caller'].startswith('caller-')) + d['others']['pairs']" --pairs
is "True" "d['others']['pairs'] > 0"
expect 0 'are not told apart.*tally_rows' apiary stats
sound "with a full table"

# A segment that nobody lives in tells the same.
live=$(of "sorted((p['caller'], p['ended']) for p in d['pairs'] if p['ended'] > 1)" --pairs)
kill -KILL "$queen" "$daemon"
wait "$queen" "$daemon" 2>/dev/null
cp "/dev/shm$segment" "$dir/copy"
dead=$("$APIARY_BIN/shmdump" --json "$dir/copy" | python3 -c "
import json, sys
d = json.load(sys.stdin)
print(sorted((t['caller'], t['ended']) for t in d['tallies'] if t['kind'] == 'pair' and not t['others'] and t['ended'] > 1))")
[ "$live" = "$dead" ] || fail "the dead segment says $dead, the living said $live"
[ "$("$APIARY_BIN/shmdump" --json "$dir/copy" | python3 -c "
import json, sys
print(sum(t['ran']['count'] for t in json.load(sys.stdin)['times']) > 90)")" = True ] || fail "the dead segment has no times"
expect 0 'waited p50' "$APIARY_BIN/shmdump" "$dir/copy"
[ "$failures" -eq 0 ]
