#!/bin/bash
# A ledger in two instances: as it stands both would grant what there is once, so the configuration refuses that. Declared stateful it
# has one place for what has no key and one for each key, through a join, a kill and a drain.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 1024}
swarms:
  - service: infra
    queen: {instances: 2}
    agents:
      - name: allocator
        kind: ledger
        capabilities: [{name: resource_allocation, stateful: true}]
        config: {pools: [cpu=8]}
  - service: who
    queen: {instances: 3}
    agents:
      - name: who
        kind: text
        capabilities: [{name: html_escaping, stateful: true}, {name: template_rendering, stateful: true}]
END

# ---- what is refused, with its line

sed 's/\[{name: resource_allocation, stateful: true}\]/resource_allocation/' "$config" >"$folder/chance.yaml"
expect 2 'chance.yaml:8: capabilities: agent allocator .* keeps state.* .instances: 2.*expected .name: resource_allocation, stateful: true.,' \
    apiary queen infra --config "$folder/chance.yaml"
expect 2 'chance.yaml:8: ' apiary up --once --config "$folder/chance.yaml"
sed 's/{name: html_escaping, stateful: true}/{name: html_escaping, stateful: true, balance: keyed}/' "$config" >"$folder/wrong.yaml"
expect 2 'wrong.yaml:15: balance: the tasks of a stateful capability' apiary queen who --config "$folder/wrong.yaml"
expect 0 'keeps state in its agent$' apiary kinds

# ---- the case: a bound of 8 is granted once

start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
# queen SERVICE INSTANCE CAPABILITY N: starts one, so that N instances serve
queen()
{
    start "$folder/$1.$2" apiary queen "$1" --config "$config" --instance "$2"
    until_true sh -c "[ \$(apiary discover $3 | grep -c ' yes ') = $4 ]"
}
granted=0
reserve() # reserve HOLDER
{
    apiary delegate resource_allocation "{\"op\":\"reserve\",\"pool\":\"cpu\",\"holder\":\"$1\",\"amount\":4}" >"$folder/answer" ||
        fail "reserve: $(cat "$folder/answer")"
    ! grep -q '"granted":true' "$folder/answer" || granted=$((granted + 4))
}
queen infra 0 resource_allocation 1
reserve h1
queen infra 1 resource_allocation 2
for i in {2..12}; do reserve "h$i"; done
[ "$granted" = 8 ] || fail "of 8 there were $granted granted"
expect 0 '^stateful +true +yes' apiary capability show resource_allocation
expect 0 'infra/0 allocator has 1 of 64 shares, and the tasks without a key$' apiary capability show resource_allocation
expect 0 '^\* +infra +0 .*the home of its share$' apiary route explain resource_allocation
expect 0 'infra +1 .*another one is the home of its share$' apiary route explain resource_allocation
expect 1 'hedge' apiary delegate --hedge 1ms resource_allocation '{"op":"show"}'

# ---- keys stay through a join, and those of a queen that is killed go to others

# of KEY CAPABILITY: which instance answers
of()
{
    apiary delegate --json --key "$1" "$2" '{"template":"x","values":{}}' | sed -n 's/.*"instance": "\([0-9]\)".*/\1/p'
}
queen who 0 html_escaping 1
killed=$last
for k in {1..6}; do [ "$(of "early$k" html_escaping)" = 0 ] || fail "early$k"; done
queen who 1 html_escaping 2
queen who 2 html_escaping 3
for k in {1..6}; do [ "$(of "early$k" template_rendering)" = 0 ] || fail "early$k moved to one that came"; done
for k in {1..20}; do home[k]=$(of "late$k" html_escaping); done
for k in {1..20}; do [ "$(of "late$k" template_rendering)" = "${home[k]}" ] || fail "late$k has two homes"; done
[ "$(printf '%s\n' "${home[@]}" | sort -u | wc -l)" = 3 ] || fail "20 keys are at: ${home[*]}"
apiary route explain html_escaping --key late1 --json | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert len(o["homes"]) == 3 and all(h["shares"] > 0 for h in o["homes"]), o
assert [c["instance"] for c in o["candidates"] if c["chosen"]] == [sys.argv[1]], o' "${home[1]}" || fail 'route explain --json'
kill -KILL "$killed"
wait "$killed"
for k in {1..20}; do
    now=$(of "late$k" html_escaping)
    if [ "${home[k]}" = 0 ]; then
        [ "$now" = 1 ] || [ "$now" = 2 ] || fail "late$k is at '$now' after the kill"
    else
        [ "$now" = "${home[k]}" ] || fail "late$k moved, though its home lives"
    fi
    home[k]=$now
done
queen who 0 html_escaping 3
for k in {1..20}; do [ "$(of "late$k" html_escaping)" = "${home[k]}" ] || fail "late$k moved to one that came back"; done

# ---- a drain hands over, and its end takes nothing back

expect 0 . apiary drain who --instance 1
for k in {1..20}; do
    now=$(of "late$k" template_rendering)
    [ "$now" != 1 ] || fail "late$k is at one that drains"
    [ "${home[k]}" = 1 ] || [ "$now" = "${home[k]}" ] || fail "late$k moved, though its home serves"
    home[k]=$now
done
expect 0 . apiary resume who --instance 1
for k in {1..20}; do [ "$(of "late$k" html_escaping)" = "${home[k]}" ] || fail "late$k went back"; done
expect 0 '"homes"' shmdump "$APIARY_SEGMENT" --json
expect 0 . shmdump --verify "$APIARY_SEGMENT"
ends
