#!/bin/bash
# Values through real agents: every digit of a number, every byte of a step's output, every role of a list.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {segment: $APIARY_SEGMENT}
swarms:
  - service: value_service
    agents:
      - {name: figures, kind: statistics, capabilities: [statistics]}
      - {name: records, kind: storage_files, capabilities: [data_persistence], config: {directory: $folder/records}}
      - {name: flow, kind: workflow, capabilities: [workflow_execution]}
      - {name: copy, kind: exec, capabilities: [copy], config: {command: [cat]}}
      - {name: sum, kind: exec, capabilities: [sum], config: {command: [sha256sum]}}
      - {name: rules, kind: rules, capabilities: [business_rules]}
      - {name: roles, kind: authorization, capabilities: [authorization], config: {
          subjects: "bee=reader, writer", rules: [reader read *, writer write comb/*]}}
END
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen value_service --config "$config"
until_true apiary check value_service

# ---- numbers

expect 0 '"min":1700000000123.0,.*"max":1700000000456.0' apiary delegate statistics '{"values":[1700000000123,1700000000456]}'
put=$(apiary delegate data_persistence '{"op":"put","key":"t","value":1752345678.123456}')
grep -q "\"sha256\":\"$(printf 1752345678.123456 | sha256sum | cut -d' ' -f1)\"" <<<"$put" ||
    fail "the sum is not of the value: $put"
expect 0 '"value":1752345678.123456,' apiary delegate data_persistence '{"op":"get","key":"t"}'
expect 0 '"value":\[9223372036854775807,0.1\]' bash -c "apiary delegate data_persistence \
    '{\"op\":\"put\",\"key\":\"n\",\"value\":[9223372036854775807,0.1]}' >/dev/null && \
    apiary delegate data_persistence '{\"op\":\"get\",\"key\":\"n\"}'"
expect 1 'too big integer near .92233720368547758079.; a whole number has 64 bits' \
    apiary delegate data_persistence '{"op":"put","key":"n","value":92233720368547758079}'
expect 0 '"fired":\[\]' apiary delegate business_rules \
    '{"rules":[{"name":"same","if":[["n","==",9007199254740993]]}],"facts":{"n":9007199254740992}}'
expect 1 'the sum of the values is out of range' apiary delegate statistics '{"values":[1e308,1e308]}'

# ---- bytes between steps

flow() # flow TEXT: its sum by the second step is the sum of the bytes themselves
{
    local sum
    sum=$(printf %s "$1" | sha256sum | cut -d' ' -f1)
    request=$(python3 -c 'import json, sys; print(json.dumps({"steps": [{"capability": "copy"}, {"capability": "sum"}],
        "input": sys.argv[1]}))' "$1")
    expect 0 "\"output\":\"$sum  -" apiary delegate workflow_execution "$request"
}
for text in 1.10 '5 ' 1E5 '{"a":1,"a":2}' '[1.0, 2]' '"x"' true ''; do flow "$text"; done

# ---- lists in a text

for action in read:hive write:comb/1; do
    expect 0 '"allowed":true' apiary delegate authorization \
        "{\"subject\":\"bee\",\"action\":\"${action%:*}\",\"resource\":\"${action#*:}\"}"
done
expect 0 '"allowed":false' apiary delegate authorization '{"subject":"bee","action":"write","resource":"hive"}'

ends
