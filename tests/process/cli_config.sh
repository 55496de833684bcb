#!/bin/bash
# A wrong configuration: each mistake has its own message with file and line, and the exit code is 2.
# ctest: address
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

# What no agent can do with is refused before one is made, also in the configuration of a kind.
bounded() # bounded KIND CONFIG ALLOWED
{
    write '  - service: one_service' '    agents:' "      - name: a" "        kind: $1" '        capabilities: [test.a]' \
        '        config:' "          $2" "${@:4}"
    refused "$3"
    grep -q "^apiary: configuration: $config:9: ${2%%:*}: " <<<"$output" || fail "$2: the line is not named: $output"
}
also='          command: [cat]'
bounded exec 'concurrency: 0' 'concurrency: 0 is out of range; allowed: 1 to 1024' "$also"
bounded exec 'concurrency: -3' 'concurrency: -3 is out of range; allowed: 1 to 1024' "$also"
bounded exec 'expect_exit: 300' 'expect_exit: 300 is out of range; allowed: 0 to 255' "$also"
bounded exec 'timeout: 0' 'timeout: 0 is out of range; allowed: 1ms to 720h' "$also"
bounded exec 'command: []' 'command: is an empty list; expected at least one item'
bounded http 'expect_status: 0' 'expect_status: 0 is out of range; allowed: 100 to 599' '          port: 80'
bounded cache_manager 'memory: 1' 'memory: 1 is out of range; allowed: 8KiB to 1TiB'

# What only the agent can judge has file and line, too; so has an owner whom this machine does not know.
printf '%s\n' "meta_registry: {segment: $APIARY_SEGMENT}" >"$config"
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true apiary status
listed() # listed KIND KEY PATTERN ITEM...
{
    local kind=$1 key=$2 pattern=$3 capability
    shift 3
    case $kind in ledger) capability=resource_allocation ;; gateway) capability=api_gateway ;; *) capability=$kind ;; esac
    write '  - service: one_service' '    agents:' "      - {name: a, kind: $kind, capabilities: [$capability], config: {" \
        "          $key: [$(printf '"%s",' "$@")]," '          rules: ["reader read *"]}}'
    [ "$kind" = authorization ] || sed -i 's/^          rules:.*/          }}/' "$config"
    expect 2 "$config:6: agent a: $key: $pattern" apiary queen one_service --config "$config"
}
listed ledger pools '"cpu=4" gives its pool a second size' cpu=8 cpu=4
listed ledger pools '"cpu=8, cpu=4" is not NAME=SIZE' 'cpu=8, cpu=4'
listed ledger pools '"cpu=99999999999999999999" is not NAME=SIZE' cpu=99999999999999999999
listed gateway routes '"/a=other" gives its path a second capability' /a=test.a /a=other
listed gateway routes '"/a=test.a, /b=test.a" is not /PATH=CAPABILITY' '/a=test.a, /b=test.a'
listed authorization subjects '"writer" is not NAME=ROLE,ROLE' bee=reader writer
listed authorization subjects '"bee=reader,,writer" is not NAME=ROLE,ROLE' bee=reader,,writer
listed authorization subjects '"bee=reader, ant=writer" is not NAME=ROLE,ROLE' 'bee=reader, ant=writer'
listed authorization subjects '"bee=" gives its subject no role; expected NAME=ROLE,ROLE' bee= ant=reader
listed authorization subjects '"bee=reader,reader" gives its subject a role twice; expected each once' bee=reader,reader
listed authorization subjects '"bee=reader" names its subject again; expected each once' bee=reader bee=reader
kill "$daemon"
wait "$daemon"
apiary segment rm -f "$APIARY_SEGMENT" >/dev/null || fail 'the segment cannot be removed'
printf 'meta_registry:\n  segment: %s\n  owner: nobody-is-called-so\n' "$APIARY_SEGMENT" >"$config"
expect 2 "$config:3: owner: no user is called 'nobody-is-called-so'" apiaryd --config "$config"

# What a kind does not have is told before anybody asks for it; so is a program that is not there.
write '  - service: one_service' '    agents:' '      - name: a' '        kind: ledger' '        capabilities: [resource_alocation]' \
    '        config: {pools: [cpu=8]}'
refused "capabilities: the kind 'ledger' of agent a does not have resource_alocation \(did you mean 'resource_allocation'"
grep -q "config.yaml:7: capabilities: .*; it offers: resource_allocation" <<<"$output" || fail "the line is not named: $output"
write '  - service: one_service' '    agents:' '      - name: a' '        kind: exec' '        capabilities: [score]' \
    '        config: {command: [./score.sh, 3]}'
refused "command: $folder/\./score.sh is not an executable file: No such file"
grep -q 'config.yaml:8: command: ' <<<"$output" || fail "the line is not named: $output"

# Paths begin at the folder of the file, wherever the queen is started.
mkdir "$folder/data"
printf '#!/bin/sh\necho "scored $1 in $(pwd)"\n' >"$folder/score.sh"
chmod +x "$folder/score.sh"
sed -i 's/3\]}/3], directory: data}/' "$config"
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true apiary status
start "$folder/queen" sh -c "cd / && exec apiary queen one_service --config $config"
queen=$last
until_true apiary check one_service
expect 0 "^scored 3 in $folder/data\$" apiary delegate score x
kill "$queen" "$daemon"
wait "$queen" "$daemon"
apiary segment rm -f "$APIARY_SEGMENT" >/dev/null || fail 'the segment cannot be removed'

# What apiaryd reads itself it refuses, too.
printf 'meta_registry: {segment: %s, tsaks: 64}\n' "$APIARY_SEGMENT" >"$config"
expect 2 "^apiaryd: configuration: $config:1: .*tsaks" apiaryd --config "$config"
expect 2 'nowhere' apiary up --config "$folder/nowhere.yaml"
[ -e /etc/apiary/apiary.yaml ] || expect 2 'no configuration' apiary up
write '  - service: one_service' '    agents:' "$agent"
expect 2 "no service 'two_service'" apiary queen two_service --config "$config"

# Judged by a command of its own; and compared with another one.
write '  - service: one_service' '    wokers: 2' '    agents:' "$agent"
expect 2 "^apiary: configuration: $config:4: .*wokers" apiary config check "$config"
expect 2 "^apiary: configuration: $config:4: .*wokers" apiary config diff "$config" --config "$config"
write '  - service: one_service' '    agents:' "$agent"
expect 0 "^$config is right: 1 service in 1 process, 1 agent, 0 checks; its segment takes [0-9.]+ MiB\$" apiary config check "$config"
expect 0 '"services": 1' env APIARY_CONFIG="$config" apiary config check --json
[ -e /etc/apiary/apiary.yaml ] || expect 2 'no configuration' apiary config check
printf '%s\n' "meta_registry: {segment: $APIARY_SEGMENT, tasks: 1024}" 'swarms:' '  - service: one_service' '    workers: 1' '    weight: 50' \
    '    queen: {instances: 2}' '    agents:' "$agent" '  - {service: two_service, agents: [{name: b, kind: exec, capabilities: [b], config: {command: [cat]}}]}' \
    >"$folder/other.yaml"
expect 0 '^one_service +changed +- +weight +100 +50 +applied in place$' apiary config diff "$folder/other.yaml" --config "$config"
for line in '^meta_registry +changed +- +tasks +[0-9]+ +1024 +needs a new segment$' '^one_service +changed +- +queen.instances +1 +2 +instances' \
    '^two_service +added +- +- +- +- +started$'; do
    grep -qE -- "$line" <<<"$output" || fail "the difference is without '$line': $output"
done
[ "$(wc -l <<<"$output")" -eq 5 ] || fail "more differs than is different: $output"
expect 0 '^two_service +removed .*drained and stopped$' apiary config diff "$config" --config "$folder/other.yaml"
expect 0 '"effect": "needs a new segment"' apiary config diff "$folder/other.yaml" --config "$config" --json
expect 0 '^no difference' apiary config diff "$config" --config "$config"

# A configuration without checks is none the worse: it is said how to try it.
expect 0 'no checks; to try one: apiary delegate .*test.cat' apiary up --once --config "$config"

ends
