#!/bin/bash
# Options that a capability declares hold for every caller, by every way to ask, with real processes; and agents that delegate have
# theirs in the configuration and in requests.
# ctest: not thread
# ctest: not address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$folder/worker" <<END
#!/bin/bash
# "count": fails with 7, and says how often it ran; "fatal": the same with 9; "slow": never ends; else the time that it has.
read -r what
echo x >>"$folder/\$what"
case \$what in
count) exit 7 ;;
fatal) exit 9 ;;
slow) exec tail -f /dev/null ;;
*) echo "\$APIARY_TIMEOUT_MS" ;;
esac
END
chmod +x "$folder/worker"
cat >"$config" <<CONFIG
meta_registry: {members: 32, lanes: 64, tasks: 2048}
swarms:
  - service: bounded
    agents:
      - name: bounded
        kind: exec
        capabilities:
          - {name: bounded, schedule_to_close: 90s, start_to_close: 40s, max_attempts: 3, backoff: 1ms, never_from: 9, wait_for_provider: true}
          - {name: quick, start_to_close: 300ms}
        config: {command: [$folder/worker], timeout: 20m}
  - service: relays
    agents:
      - {name: gate, kind: gateway, capabilities: [api_gateway], config: {routes: [/free=free], timeout: 7s, retry: "2,backoff=1ms"}}
      - {name: batch, kind: batch, capabilities: [task_execution]}
  - service: free
    agents: [{name: free, kind: exec, capabilities: [free], config: {command: [$folder/worker], timeout: 20m}}]
CONFIG
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
start "$folder/queen" apiary queen bounded --config "$config"
queen=$last
start "$folder/relays" apiary queen relays --config "$config"
start "$folder/free_queen" apiary queen free --config "$config"
for c in bounded quick api_gateway task_execution free; do until_true apiary discover $c; done
expect 0 '^schedule_to_close +(90 s|90s|1m 30s) +yes' apiary capability show bounded
expect 0 '^max_attempts +3 +yes' apiary capability show bounded
expect 0 '^wait_for_provider +true +yes' apiary capability show bounded
runs() { wc -l <"$folder/$1"; }
at_most() # MS COMMAND...: the program has said how much time it had
{
    output=$("${@:2}" 2>&1)
    [[ $output =~ ^[0-9]+$ ]] && [ "$output" -le "$1" ] && [ "$output" -gt 0 ] || fail "'${*:2}' has $output ms, not at most $1"
}

# ---- a capability's

at_most 90000 apiary delegate bounded time
at_most 90000 apiary delegate bounded time --timeout 10m
at_most 5000 apiary delegate bounded time --timeout 5s
expect 1 '7' apiary delegate bounded count
[ "$(runs count)" -eq 3 ] || fail "it was tried $(runs count) times where its caller does not say"
rm "$folder/count"
expect 1 '7' apiary delegate bounded count --retry 9,backoff=1ms
[ "$(runs count)" -eq 3 ] || fail "it was tried $(runs count) times where its caller wants 9"
rm "$folder/count"
expect 1 '7' apiary delegate bounded count --retry 1
[ "$(runs count)" -eq 1 ] || fail "it was tried $(runs count) times where its caller wants 1"
expect 1 '9' apiary delegate bounded fatal
[ "$(runs fatal)" -eq 1 ] || fail "it was tried $(runs fatal) times although that fails for ever"
expect 1 'took too long' apiary delegate quick slow --start-to-close 1h --timeout 20m
kill -KILL "$queen"
wait "$queen" 2>/dev/null
start "$folder/waits" apiary delegate bounded time
waits=$last
waiting() { apiary task ls | grep -q scheduled; }
until_true waiting
start "$folder/queen" apiary queen bounded --config "$config"
wait "$waits" || fail "it did not wait for a provider: $(cat "$folder/waits")"

# ---- of an agent that delegates

gate() { apiary delegate api_gateway "{\"path\":\"/free\",\"body\":\"$1\"}" | python3 -c 'import json,sys; print(json.load(sys.stdin)["body"].strip())'; }
at_most 7000 gate time
rm -f "$folder/count"
expect 0 '"status":502' apiary delegate api_gateway '{"path":"/free","body":"count"}'
[ "$(runs count)" -eq 2 ] || fail "the gateway's was tried $(runs count) times"
rm "$folder/count"
expect 0 '"failed":1' apiary delegate task_execution '{"capability":"free","inputs":["count"],"options":{"retry":"4,backoff=1ms"}}'
[ "$(runs count)" -eq 4 ] || fail "the batch's was tried $(runs count) times"
expect 1 'options: "retry" cannot be that' apiary delegate task_execution '{"capability":"free","inputs":[],"options":{"retry":99}}'

# ---- and what cannot be is told with its line

sed 's/timeout: 7s/timeout: soon/' "$config" >"$folder/wrong.yaml"
expect 2 "wrong.yaml:13: .*timeout: 'soon' cannot be that" apiary queen relays --config "$folder/wrong.yaml"
sed 's/max_attempts: 3/max_attempts: 99/' "$config" >"$folder/wrong.yaml"
expect 2 'wrong.yaml:[0-9]+: .*max_attempts: 99 is out of range' apiary queen bounded --config "$folder/wrong.yaml"
ends
