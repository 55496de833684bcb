#!/bin/bash
# How the workers of a queen sleep, as it is told to those who look: in the object, in the dump, and below the table when it is not
# the best that Linux has.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {segment: $APIARY_SEGMENT, tasks: 256, members: 16}
swarms:
  - service: echo_service
    agents:
      - {name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}
END
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true apiary status
sleep_by() # sleep_by PARK
{
    start "$folder/queen" env APIARY_PARK="$1" apiary queen echo_service --config "$config"
    queen=$last
    until_true apiary check echo_service
    expect 0 "\"park\": \"$1\"" apiary status --json
    expect 0 "\"park\": \"$1\"" shmdump --json
}
wake()
{
    kill -TERM "$queen"
    wait "$queen"
}
sleep_by poll
expect 0 '^workers: those of 1 of 1 instance sleep by poll: io_uring is forbidden or missing here' apiary status
wake
# What has left sleeps no more.
expect 0 'echo_service' apiary status
grep -q 'sleep by' <<<"$output" && fail "of an instance that has left: $output"
if [[ $(uname -r) =~ ^([0-9]+)\.([0-9]+) ]] && ((BASH_REMATCH[1] * 100 + BASH_REMATCH[2] >= 607)); then
    sleep_by uring
    expect 0 'echo_service' apiary status
    grep -q 'sleep by' <<<"$output" && fail "of one that sleeps in io_uring: $output"
    wake
fi
kill -TERM "$daemon"
ends
