#!/bin/bash
# A wrong configuration: each mistake has its own message with file and line, and the exit code is 2.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

# write LINES...: a configuration whose line 1 is "meta_registry: {...}".
write()
{
    printf '%s\n' "meta_registry: {segment: $APIARY_SEGMENT}" 'swarms:' "$@" >"$config"
}
agent='      - {name: a, kind: exec, capabilities: [test.cat], config: {command: [cat]}}'

# refused PATTERN: by the supervisor and by a queen alike, before anything is started.
refused()
{
    expect 2 "^apiary: configuration: $config:[0-9]+: .*$1" apiary up --once --config "$config"
    expect 2 "^apiary: configuration: $config:[0-9]+: .*$1" apiary queen one_service --config "$config"
    [ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail "a segment was made for a configuration with $1"
    seen+=("$(sed 's/[0-9]\+//g' <<<"$output")")
}
seen=()

write '  - service: one_service' '    wokers: 2' '    agents:' "$agent"
refused 'wokers'
grep -q ':4: .*workers' <<<"$output" || fail "the line or the allowed keys are not named: $output"

write '  - {service: one_service, port: 4000, agents: [{name: a, kind: exec, capabilities: [test.a], config: {command: [cat]}}]}' \
    '  - {service: two_service, port: 4000, agents: [{name: a, kind: exec, capabilities: [test.b], config: {command: [cat]}}]}'
refused 'port.*4000'
grep -q 'one_service' <<<"$output" || fail "who has the port already is not named: $output"

write '  - {service: one_service, agents: [{name: a, kind: exec, capabilities: [test.a], config: {command: [cat]}}]}' \
    '  - {service: one_service, agents: [{name: a, kind: exec, capabilities: [test.b], config: {command: [cat]}}]}'
refused 'one_service'

write '  - service: one_service' '    agents:' '      - {name: a, kind: exce, capabilities: [test.a]}'
refused "exce.*exec"

write '  - service: one_service' '    agents:' '      - {name: a, plugin: nowhere.so, capabilities: [test.a]}'
refused 'nowhere\.so'

# The five messages are five.
[ "$(printf '%s\n' "${seen[@]}" | sort -u | wc -l)" -eq 5 ] || fail 'two mistakes have the same message'

# What apiaryd reads itself it refuses, too.
printf 'meta_registry: {segment: %s, tsaks: 64}\n' "$APIARY_SEGMENT" >"$config"
expect 2 "^apiaryd: configuration: $config:1: .*tsaks" apiaryd --config "$config"
expect 2 'nowhere' apiary up --config "$folder/nowhere.yaml"
[ -e /etc/apiary/apiary.yaml ] || expect 2 'no configuration' apiary up
write '  - service: one_service' '    agents:' "$agent"
expect 2 "no service 'two_service'" apiary queen two_service --config "$config"

# A capability that no check covers does not fail the load, but the run.
expect 1 'has no check' apiary up --once --config "$config"

ends
