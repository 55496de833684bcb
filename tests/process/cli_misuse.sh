#!/bin/bash
# Agents that do what they should not: their worker goes on, and who it was is said.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: bad_service
    workers: 1
    agents:
      - {name: careless, plugin: $APIARY_PLUGINS/misbehave.so, capabilities: [bad]}
      - {name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}
END

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen bad_service --drain 100ms --config "$config"
queen=$last
until_true apiary check bad_service

# An answer is an answer, and a second one is none.
for _ in 1 2 3 4 5; do
    expect 0 '^once$' apiary delegate bad twice
    expect 0 '^once$' apiary delegate bad threads
    expect 0 '^HELLO$' apiary delegate text.upper hello
done
grep -q 'careless: answers a task that it has finished' "$folder/queen" || fail "who answers twice is not named: $(cat "$folder/queen")"
idle()
{
    apiary status --json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["swarms"]:
    assert s["running"] <= 128 and s["queued"] <= 512, s
    if s["running"] + s["queued"] > 0: sys.exit(1)'
}
until_true idle
expect 0 'OK' apiary check

# What crashes too often has failed, and that is counted, though no worker is left that could.
count() # count FIELD: of the service
{
    apiary status --json | python3 -c '
import json, sys
print(sum(s[sys.argv[1]] for s in json.load(sys.stdin)["swarms"]))' "$1"
}
is() # is FIELD VALUE
{
    [ "$(count "$1")" -eq "$2" ]
}
until_true is done 15
is failed 0 || fail "$(count failed) tasks have failed before any did"
start "$folder/crash" apiary delegate --timeout 1h bad abort
crash=$last
for _ in 1 2 3; do
    until_true gone "$queen"
    start "$folder/queen" apiary queen bad_service --drain 100ms --config "$config"
    queen=$last
done
wait "$crash" && fail 'a task that crashes its worker has ended well'
grep -q 'crashed its worker too often' "$folder/crash" || fail "the end of the poison: $(cat "$folder/crash")"
until_true is failed 1
is done 15 || fail "$(count done) are done, of 15"
is finished 16 || fail "$(count finished) have ended, of 16"
expect 0 '^once$' apiary delegate bad twice

# Who closes what is not his does not stop his worker, nor the other one, nor makes them turn round for nothing.
expect 0 '^once$' apiary delegate bad close
for _ in 1 2 3 4 5; do
    expect 0 '^once$' apiary delegate bad twice
    expect 0 '^HELLO$' apiary delegate text.upper hello
done
time_of() # processor time of the queen, in ticks
{
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}
beats() # until two beats are over, in which a thread that spins would have used much
{
    local before now
    before=$(apiary status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["swarms"][0]["uptime_ns"])')
    until now=$(apiary status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["swarms"][0]["uptime_ns"])') &&
        [ $((now - before)) -gt 1000000000 ]; do :; done
}
until_true idle
used=$(time_of "$queen")
beats
used=$(($(time_of "$queen") - used))
[ "$used" -lt $(($(getconf CLK_TCK) / 2)) ] || fail "the queen used $used ticks in a second without work"

# What never comes back does not keep its queen: she ends when her time is over, says why, and the next one may come.
start "$folder/client" apiary delegate --timeout 1h bad stuck
client=$last
until_true is running 1
kill -TERM "$queen"
until_true gone "$queen"
wait "$queen" && fail 'a queen that left tasks behind has ended well'
grep -q 'does not return; the agent that was called last is careless' "$folder/queen" || fail "who is stuck is not said: $(cat "$folder/queen")"
grep -q 'ends with tasks in hand' "$folder/queen" || fail "what it leaves is not said: $(cat "$folder/queen")"
kill -KILL "$client"
start "$folder/queen" apiary queen bad_service --drain 100ms --config "$config"
queen=$last
until_true apiary check bad_service

ends
