#!/bin/bash
# A single instance is restarted again and again under a steady caller that waits for a provider: no call is lost.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cat >"$config" <<END2
meta_registry: {members: 32, lanes: 64, tasks: 512}
swarms:
  - service: text_service
    agents:
      - {name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}
END2
start "$folder/daemon" apiaryd --config "$config"
until_true apiary status
queen_starts()
{
    start "$folder/queen" apiary queen text_service --config "$config"
    queen=$last
}
queen_starts
until_true apiary discover text.upper

# Two callers, one call after another, until they are told to stop; a line for each call.
caller() # caller NAME
{
    local n=0
    until [ -e "$folder/enough" ]; do
        n=$((n + 1))
        apiary delegate --wait-for-provider --timeout 120s text.upper "call $n" >>"$folder/calls.$1" 2>&1
        echo " exit $?" >>"$folder/calls.$1"
    done
}
calls()
{
    cat "$folder/calls.one" "$folder/calls.two" 2>/dev/null | grep -c exit
}
have() # have N: so many calls have ended
{
    [ "$(calls)" -ge "$1" ]
}
caller one &
callers=$!
caller two &
callers="$callers $!"

# Calls have ended before each restart, and after it. Each third queen is killed; nobody is there for as long as one call takes to
# find that out.
for i in 1 2 3 4 5 6; do
    until_true have $(($(calls) + 8))
    if [ $((i % 3)) = 0 ]; then kill -KILL "$queen"; else kill "$queen"; fi
    wait "$queen"
    until_true sh -c 'apiary delegate text.upper x 2>&1 | grep -q "nobody alive offers this capability"'
    queen_starts
done
until_true have $(($(calls) + 8))
: >"$folder/enough"
for pid in $callers; do wait "$pid"; done
lost=$(cat "$folder/calls.one" "$folder/calls.two" | grep -vcE '^CALL [0-9]+ exit 0$')
[ "$lost" = 0 ] || fail "$lost of $(calls) calls were lost: $(cat "$folder"/calls.* | grep -vE '^CALL [0-9]+ exit 0$' | sort | uniq -c | head -5)"
expect 0 . shmdump "$APIARY_SEGMENT" --verify
ends
