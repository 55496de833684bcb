#!/bin/bash
# A task for each provider of a capability: all answers, and each failure with its provider's name, while one of them is killed.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: one
    agents:
      - {name: say, kind: exec, capabilities: [say], config: {command: [sh, -c, 'cat; echo " one"']}}
  - service: two
    agents:
      - {name: say, kind: exec, capabilities: [say], config: {command: [sh, -c, 'if grep -q wait; then cat $folder/gate; fi; echo two']}}
  - service: three
    agents:
      - {name: say, kind: exec, capabilities: [say], config: {command: [sh, -c, 'echo no; exit 3']}}
END
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
for s in one two three; do
    start "$folder/$s" apiary queen "$s" --config "$config"
    [ "$s" = two ] && two=$last
done
until_true sh -c '[ "$(apiary discover say | grep -c " yes ")" = 3 ]'

expect 1 '^one/0 say: hello one' apiary delegate --all say hello
grep -qE '^two/0 say: two' <<<"$output" && grep -qE '^three/0 say: FAILED: its code 3: ' <<<"$output" && [ "$(wc -l <<<"$output")" = 3 ] ||
    fail "not three lines: $output"

# of FILE: the answers by service, and what is in each
of()
{
    python3 - "$1" "${@:2}" <<'PYTHON'
import json, sys
rows = {}
for line in open(sys.argv[1]):
    o = json.loads(line)
    assert o["service"] not in rows, o
    rows[o["service"]] = "ok " + o["data"].strip() if o["ok"] else o["error"]
expected = dict(a.split("=", 1) for a in sys.argv[2:])
assert rows == expected, rows
PYTHON
}
apiary delegate --all --json say hello >"$folder/out"
of "$folder/out" 'one=ok hello one' 'two=ok two' three=APIARY_EAGENT || fail "delegate --all --json: $(cat "$folder/out")"

# ---- one provider by its number

number=$(apiary discover say --json | python3 -c 'import json, sys; print([p["provider"] for p in json.load(sys.stdin)["providers"] if p["service"] == "two"][0])')
for i in {1..5}; do expect 0 '^two$' apiary delegate --provider "$number" say hello; done
expect 64 "cannot be that" apiary delegate --provider none say hello
expect 64 "does not go with" apiary delegate --all --provider "$number" say hello

# ---- it is killed with its task: the task has failed, and runs nowhere else

start "$folder/all" apiary delegate --all --json --timeout 10m say wait
all=$last
start "$folder/single" apiary delegate --provider "$number" --timeout 10m say wait
single=$last
until_true sh -c '[ "$(apiary task ls --state running | grep -c say)" = 2 ]'
kill -KILL "$two"
wait "$two"
wait "$all" && fail 'a provider was killed, and --all says that all have answered'
of "$folder/all" 'one=ok wait one' two=APIARY_ENOPROVIDER three=APIARY_EAGENT || fail "with one killed: $(cat "$folder/all")"
wait "$single" && fail 'a task for a provider that was killed has a result'
grep -q 'nobody alive offers this capability' "$folder/single" || fail "its caller was told: $(cat "$folder/single")"
apiary delegate --all --json say hello >"$folder/out"
of "$folder/out" 'one=ok hello one' two=APIARY_ENOPROVIDER three=APIARY_EAGENT || fail "with one dead: $(cat "$folder/out")"

# ---- back again it is another

start "$folder/two" apiary queen two --config "$config"
until_true sh -c '[ "$(apiary discover say | grep -c " yes ")" = 3 ]'
expect 4 'nobody alive offers this capability' apiary delegate --provider "$number" say hello
apiary delegate --all --json say hello >"$folder/out"
of "$folder/out" 'one=ok hello one' 'two=ok two' three=APIARY_EAGENT || fail "with all back: $(cat "$folder/out")"
expect 4 'nobody has ever offered' apiary delegate --all never
[ "$(apiary task ls | grep -c say)" = 0 ] || fail "tasks are left: $(apiary task ls)"
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
