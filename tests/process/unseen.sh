#!/bin/bash
# What nobody will collect gives its slot and its payload blocks back when it has ended, while its client lives on and does nothing:
# tasks that are fire and forget, tasks that were given up while they ran, and either when their worker is killed in the middle.
# ctest: address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 512, member_share: 100, payload: {blocks_1MiB: 4}}
swarms:
  - service: gate_service
    agents: [{name: gate, plugin: $APIARY_PLUGINS/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}]
END
start "$folder/daemon" apiaryd --config "$config"
daemon=$last
until_true apiary status
start "$folder/queen" apiary queen gate_service --config "$config"
queen=$last
until_true apiary check gate_service

idle() # idle MODE N: the other end of its input is descriptor 9, its output is read from 8
{
    rm -f "$folder/in" "$folder/told"
    mkfifo "$folder/in" "$folder/told"
    "$APIARY_TEST_BIN/leaving" "$1" "$APIARY_SEGMENT" gate.pass "$2" <"$folder/in" >"$folder/told" 2>"$folder/err" &
    member=$!
    exec 9>"$folder/in" 8<"$folder/told"
    read -r line <&8 || fail "$1: $(cat "$folder/err")"
}
ended()
{
    kill -0 "$member" || fail "the client has ended: $(cat "$folder/err")"
    echo >&9
    exec 9>&-
    wait "$member" || fail "the client: exit $?: $(cat "$folder/err")"
}
used() # used SLOTS BLOCKS: that many slots that are not free, and blocks of the largest class
{
    shmdump "$APIARY_SEGMENT" --json --tasks | python3 -c '
import json, sys
d = json.load(sys.stdin)
last = [c for c in d["pool"] if c["size"] == 1 << 20][0]
sys.exit([len(d["tasks"]["slots"]), last["blocks"] - last["free"]] != [int(n) for n in sys.argv[1:]])' "$@"
}
has_all()
{
    until_true used 0 0
    expect 0 '' shmdump "$APIARY_SEGMENT" --verify
    apiary task ls --json | python3 -c 'import json, sys; assert json.load(sys.stdin)["tasks"] == []' || fail 'tasks are listed'
}

open_until() # open_until COMMAND...: the gate is open until that is true
{
    exec 7<>"$folder/gate"
    until "$@"; do echo open >&7; done
    exec 7>&-
}

# ---- fire and forget: others have all blocks afterwards

idle detached 4
until_true used 4 4
open_until used 0 0
has_all
head -c 1048576 /dev/zero >"$folder/body"
for i in 1 2 3 4; do
    start "$folder/other.$i" apiary delegate -t 120s gate.pass "@$folder/body"
    others[i]=$last
done
until_true used 4 4
open_until used 0 0
for i in 1 2 3 4; do wait "${others[i]}" || fail "refused while the client is idle: $(cat "$folder/other.$i")"; done
ended

# ---- given up while it runs

running() { apiary status --json | python3 -c '
import json, sys
sys.exit([s["running"] for s in json.load(sys.stdin)["swarms"] if s["service"] == "gate_service"] != [1])'; }
idle given_up 1
until_true running
echo >&9
read -r line <&8 || fail "given up: $(cat "$folder/err")"
used 1 1 || fail 'it has ended before the gate was open'
open_until used 0 0
has_all
ended

# ---- and when its worker is killed

idle given_up 1
until_true running
echo >&9
read -r line <&8 || fail "given up: $(cat "$folder/err")"
kill -KILL "$queen"
has_all
ended
kill -TERM "$daemon"
ends
