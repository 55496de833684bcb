#!/bin/bash
# Files of agents: in the state directory, by segment and service; they are there after the death of queen, coordinator and
# supervisor, and after the segment; instances have them in common. Where there is no such place the service says so, and the others
# go on.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
own=${APIARY_SEGMENT#/}

configure() # configure INSTANCES
{
    cat >"$config" <<END_CONFIG
meta_registry: {members: 32, lanes: 96, tasks: 1024}
swarms:
  - service: store
    queen: {instances: $1}
    agents:
      - {name: records, kind: storage_files, capabilities: [data_persistence, data_consistency]}
      - {name: backup, kind: storage_backup, capabilities: [backup]}
  - service: other
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
END_CONFIG
}
put() # put KEY VALUE [OPTION...]
{
    expect 0 '"stored":true' apiary delegate data_persistence "{\"op\":\"put\",\"key\":\"$1\",\"value\":$2}" --timeout 5m "${@:3}"
}
has() # has KEY VALUE [OPTION...]
{
    expect 0 "\"found\":true,\"value\":$2," apiary delegate data_persistence "{\"op\":\"get\",\"key\":\"$1\"}" --timeout 5m \
        --wait-for-provider "${@:3}"
}
up_start() # up_start OPTION...
{
    start "$folder/up" apiary up --config "$config" "$@"
    up=$last
    until_true apiary wait --all -c "$config" --timeout 1s
}
up_stop()
{
    kill -TERM "$up"
    wait "$up" || fail "up ended with $?: $(cat "$folder/up")"
}
pid_of() # pid_of SERVICE
{
    apiary status --json | python3 -c 'import json, sys
print(next(s["pid"] for s in json.load(sys.stdin)["swarms"] if s["service"] == sys.argv[1]))' "$1"
}
passing() # how many instances of the store pass
{
    apiary status store --json | python3 -c 'import json, sys
print(sum(s["state"] == "passing" for s in json.load(sys.stdin)["swarms"]))'
}
number_of() # number_of INSTANCE: of its records, as --provider wants it
{
    apiary discover data_persistence --json | python3 -c 'import json, sys
print(next(p["provider"] for p in json.load(sys.stdin)["providers"] if p["instance"] == sys.argv[1]))' "$1" || fail 'no such instance'
}

# ---- it outlives queen, supervisor, coordinator and segment

configure 1
up_start --state "$folder/given"
put kept 1
files=$folder/given/$own/services/store
[ -f "$files/records/kept" ] || fail "it is not in $files: $(find "$folder" -name kept)"
[ "$(stat -c %a "$folder/given" "$folder/given/$own" "$folder/given/$own/services" "$files" | sort -u)" = 700 ] ||
    fail "modes: $(stat -c '%a %n' "$folder/given" "$folder/given/$own" "$folder/given/$own/services" "$files")"
[ -e "$folder/given/$own/services/other" ] && fail 'a service without files has a folder'
queen=$(pid_of store)
kill -KILL "$queen"
has kept 1
put more '"two"'
until_true [ -s "$folder/given/$own/events.db" ]
kill -KILL "$(apiary status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["daemon"])')" || fail 'no coordinator'
has more '"two"'
kill -KILL "$up"
wait "$up" 2>/dev/null
until_true sh -c "! apiary check store && ! apiary check other"
expect 0 '' apiary segment rm -f "$APIARY_SEGMENT"
up_start --state "$folder/given"
has kept 1
has more '"two"'
up_stop

# ---- where: --state, then $STATE_DIRECTORY, then $XDG_STATE_HOME, then the home

start "$folder/daemon" apiaryd --config "$config"
until_true grep -q created "$folder/daemon"
lands() # lands FOLDER [VARIABLE=VALUE...] -- [OPTION...]
{
    local in=$1 environment=()
    shift
    while [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    shift
    start "$folder/queen" env "${environment[@]}" apiary queen store --config "$config" "$@"
    local queen=$last
    until_true apiary wait store --timeout 1s
    put where "\"$in\""
    grep -q "\"$in\"" "$in/$own/services/store/records/where" || fail "not in $in: $(find "$folder" -name where)"
    kill -TERM "$queen"
    wait "$queen" || fail "the queen ended with $?: $(cat "$folder/queen")"
}
cd "$folder" || exit 1
lands "$folder/home/.local/state/apiary" -u XDG_STATE_HOME "HOME=$folder/home" --
lands "$folder/home/.local/state/apiary" XDG_STATE_HOME=relative "HOME=$folder/home" --
lands "$folder/xdg/apiary" "XDG_STATE_HOME=$folder/xdg" "HOME=$folder/home" --
lands "$folder/service" "STATE_DIRECTORY=$folder/service:$folder/second" "XDG_STATE_HOME=$folder/xdg" --
lands "$folder/option" "STATE_DIRECTORY=$folder/service" "XDG_STATE_HOME=$folder/xdg" -- --state "$folder/option"
lands "$folder/below" "STATE_DIRECTORY=$folder/service" -- --state below
[ "$(find "$folder/home" "$folder/xdg" "$folder/service" "$folder/option" "$folder/below" -name where | wc -l)" -eq 5 ] ||
    fail "elsewhere, too: $(find "$folder" -name where)"
[ ! -e "$folder/second" ] || fail 'the second of two is used'

# ---- two instances have one folder, two segments do not

start "$folder/first" apiary queen store --config "$config" --state "$folder/both"
start "$folder/second" apiary queen store --config "$config" --state "$folder/both" --instance 1
until [ "$(passing)" -eq 2 ]; do turn; done
at=("$(number_of 0)" "$(number_of 1)")
put common 7 --provider "${at[0]}"
has common 7 --provider "${at[1]}"
put common 8 --provider "${at[1]}"
has common 8 --provider "${at[0]}"
start "$folder/daemon2" apiaryd --config "$config" --segment "$APIARY_SEGMENT-2"
until_true grep -q created "$folder/daemon2"
start "$folder/third" apiary queen store --config "$config" --segment "$APIARY_SEGMENT-2" --state "$folder/both"
until_true apiary wait store --segment "$APIARY_SEGMENT-2" --timeout 1s
expect 0 '"found":false' apiary delegate data_persistence '{"op":"get","key":"common"}' --segment "$APIARY_SEGMENT-2"
put common 9 --segment "$APIARY_SEGMENT-2"
has common 8
has common 9 --segment "$APIARY_SEGMENT-2"
expect 0 '' apiary segment rm -f "$APIARY_SEGMENT-2"

# Both write the same records at once, for as long as each is looked at by the other: no one is ever seen broken.
text=$(printf 'x%.0s' {1..20000})
writer() # writer INSTANCE
{
    local i=0
    until [ -e "$folder/enough" ]; do
        i=$((i % 3 + 1))
        apiary delegate data_persistence "{\"op\":\"put\",\"key\":\"shared$i\",\"value\":\"$1$text\"}" --provider "${at[$1]}" \
            >/dev/null || exit 1
    done
}
put shared1 0 && put shared2 0 && put shared3 0
writer 0 & one=$!
writer 1 & two=$!
for ((round = 0; round < 20; round++)); do
    expect 0 '"damaged":\[\],"consistent":true' apiary delegate data_consistency '{}' --provider "${at[round % 2]}"
    expect 0 '"found":true' apiary delegate data_persistence "{\"op\":\"get\",\"key\":\"shared$((round % 3 + 1))\"}" \
        --provider "${at[round % 2]}"
done
touch "$folder/enough"
wait "$one" || fail 'a writer'
wait "$two" || fail 'the other writer'
expect 0 '"checked":4,"damaged":\[\],"consistent":true' apiary delegate data_consistency '{}'
for pid in $(jobs -p); do kill -TERM "$pid"; done
wait
expect 0 '' apiary segment rm -f "$APIARY_SEGMENT"

# ---- no place: the service says so, again and again, and the others work; it comes when there is one

mkdir -p "$folder/blocked/$own"
: >"$folder/blocked/$own/services"
start "$folder/up" apiary up --config "$config" --state "$folder/blocked"
up=$last
until_true apiary wait other --timeout 1s
why="there is no folder for its files: cannot make $folder/blocked/$own/services/store: Not a directory"
until_true grep -q "agent records: $why" "$folder/up"
until_true sh -c "apiary status store | grep -q 'it said: .*there is no folder for its files'"
expect 0 'x$' apiary delegate echo x --timeout 5m
rm "$folder/blocked/$own/services"
until_true apiary wait store --timeout 1s
put late 1
up_stop
ends
