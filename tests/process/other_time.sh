#!/bin/bash
# Observers in another time namespace, whose clock shows something else: they see what those see who share the segment's, and a
# checker finds nothing wrong. Who would write is refused.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_up.sh" || exit 1
unshare --time --monotonic 1000 true 2>/dev/null || { echo 'skipped: no right to make a time namespace'; exit 77; }
# The machine may not have been up for a thousand seconds, and its clock cannot be set below 0.
up_for=$(cut -d. -f1 /proc/uptime)
back=$((up_for > 1000 ? -1000 : 1 - up_for))

now() { cut -d. -f1 /proc/uptime; }
began=$(($(now) - 1))
good_and >"$config"
apiary up --config "$config" >"$folder/out" 2>"$folder/err" </dev/null &
up=$!
expect 0 '' apiary wait --all --config "$config" --timeout 10m
start "$folder/held" apiary memory put k v --ttl 10h
until_true gone "$last"
expect 0 . apiary claim acquire job --ttl 10h
expect 0 '' apiary delegate echo x --detach --delay 1h

within() # within LEAST MOST WHAT SECONDS
{
    [ "${4:--1}" -ge "$1" ] && [ "$4" -le "$2" ] || fail "$shift: $3 is ${4:-not to be had}, not $1 to $2"
}
young() # young WHAT SECONDS: not older than this test
{
    within 0 $(($(now) - began)) "$@"
}
age_of_the_task() { there shmdump --json --tasks | pick "[t for t in d['tasks']['slots'] if t['state'] == 'scheduled'][0]['queued_age'] // 10**9"; }
pick() { python3 -c "import json, sys; d = json.load(sys.stdin); print(int($1))"; }

for shift in 1000 "$back"; do
    there() { unshare --time --monotonic "$shift" "$@"; }
    expect 0 'good +0 +passing' there apiary status
    until_true there apiary check
    expect 0 . there apiary services
    expect 0 'good/0' there apiary events
    young 'the oldest beat' "$(there apiary status --json | pick "max(s['beat_age_ns'] for s in d['swarms']) // 10**9")"
    young 'the age of a task' "$(age_of_the_task)"
    within 30000 36000 'the rest of a value' "$(there apiary memory get k --json | pick "d['expires_in_ns'] // 10**9")"
    within 30000 36000 'the rest of a claim' "$(there apiary claim ls --json | pick "d['claims'][0]['expires_in_ns'] // 10**9")"
    expect 0 '0 repairable, 0 corrupt' there shmdump --verify
    expect 0 "another time namespace, whose clock shows [+-][0-9]+ s: ages are by that one" there shmdump
    young 'the age of the segment' "$(there shmdump --json | pick "d['header']['age'] // 10**9")"
    expect 3 'its times are those of time namespace' there apiary delegate echo x
done
kill -TERM "$up"
until_true gone "$up"
echo "$failures failures"
[ "$failures" -eq 0 ]
