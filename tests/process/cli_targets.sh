#!/bin/bash
# Targets of capabilities: no verdict where nothing was asked; one that is missed is told by check, metrics, /v1 and an event, and so is
# that it is met again. A target that is changed counts without a restart. No HTTP is needed, and a coordinator that was killed goes on.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

write() # write SUCCESS P99
{
    cat >"$config.new" <<END
meta_registry: {members: 32, lanes: 64}
swarms:
  - service: text_service
    agents:
      - {name: failing, kind: exec, capabilities: [{name: text.fail, target_success: $1}], config: {command: ["false"]}}
      - {name: upper, kind: exec, capabilities: [{name: text.upper, target_success: 99.9, target_p99: $2}], config: {command: [tr, a-z, A-Z]}}
END
    mv "$config.new" "$config"
}
write 99.5 1us
start "$folder/up" apiary up --config "$config" --verbose
up=$last
until_true apiary wait --all --config "$config" --timeout 1s

# ---- nothing asked

expect 0 'OK: 1 instance passing, no verdict on 3 targets: nothing was asked' apiary check
expect 0 'target_success +99.5 +yes' apiary capability show text.fail
expect 0 'target without a verdict: success nothing over 5 min and nothing over 1 h, target 99.5 %' apiary capability show text.fail
! apiary metrics | grep -q '^apiary_capability_target_missed{' || fail 'a verdict of nothing'

# ---- missed, and met

apiary delegate text.fail x >/dev/null 2>&1
for i in 1 2 3; do expect 0 '^X' apiary delegate text.upper x; done
until_true grep -q 'text.fail misses a target: success 0 % over 5 min and 0 % over 1 h, target 99.5 %' "$folder/up"
until_true grep -q 'text.upper misses a target: p99 ' "$folder/up"
expect 2 'CRITICAL: .*text.fail misses a target: success 0 % .*text.upper misses a target: p99 ' apiary check
expect 3 '' apiary check nobody
expect 0 'apiary_capability_target_missed\{capability="text.fail",target="success"\} 2' apiary metrics
expect 0 'apiary_capability_target_missed\{capability="text.upper",target="success"\} 0' apiary metrics
expect 0 'apiary_capability_target_missed\{capability="text.upper",target="p99"\} 1' apiary metrics
expect 0 'apiary_capability_target_time_seconds\{capability="text.upper",window="5m"\} 0\.' apiary metrics
expect 0 '"state": "badly missed"' apiary capability show text.fail --json
expect 0 'target met: success 100 %' apiary capability show text.upper
until_true sh -c 'apiary events --kind target-missed | grep -q text.fail'
[ "$(apiary events --kind target-missed | wc -l)" -eq 2 ] || fail "events: $(apiary events --kind target-missed)"

# ---- targets that are changed as it runs

write 1 1h
expect 0 '' apiary reload
until_true sh -c 'apiary events --kind target-met | grep -q text.upper'
expect 2 'text.fail misses a target: success 0 % .*target 1 %' apiary check
expect 0 'target met: p99 ' apiary capability show text.upper

sed 's/target_success: 1}/target_success: 101}/' "$config" >"$folder/wrong"
expect 2 "target_success: '101.*' is not allowed; expected a percentage from 1 to 99.999" apiary config check "$folder/wrong"
ends
