#!/bin/bash
# apiary events asks where the coordinator that runs keeps them; it says so where it may not know, and believes nobody else.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
own=${APIARY_SEGMENT#/}
chmod 755 "$folder" # another user reads the configuration, too

cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, mode: "0666"}
swarms:
  - service: first
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
END
daemon_start() # daemon_start COMMAND...
{
    start "$folder/daemon" "$@"
    daemon=$last
    until_true grep -q 'created\|took over' "$folder/daemon"
}
read_from() # read_from FOLDER COMMAND...
{
    kept() { "$@" --json 2>/dev/null | grep -qF "\"kept_in\": \"$where\""; }
    local where=$1
    until_true kept "${@:2}"
}
none='no apiaryd has kept events in .*only the segment.s log was read'

# An option, the environment, or a folder that is told by where it stands: the reader need not know.
daemon_start apiaryd --config "$config" --state "$folder/option"
until_true [ -s "$folder/option/$own/events.db" ]
read_from "$folder/option/$own" apiary events
read_from "$folder/option/$own" env -u XDG_STATE_HOME HOME=/nowhere apiary events
read_from "$folder/option/$own" env STATE_DIRECTORY="$folder/elsewhere" apiary events
expect 0 "$none" apiary events --state "$folder/elsewhere" # which is what was asked for
expect 0 'daemon joined' apiary events --kind member-joined
start "$folder/follower" apiary events --follow
until_true grep -q 'daemon joined' "$folder/follower"
kill -TERM "$daemon"
wait "$daemon"

# Nobody keeps them now: what is there where it would be.
expect 0 "$none" apiary events
grep -q 'is not known here' <<<"$output" && fail "no coordinator runs: $output"
(cd "$folder" && exec env STATE_DIRECTORY="$folder/service" apiaryd --config "$config") >"$folder/daemon" 2>&1 &
daemon=$!
until_true [ -s "$folder/service/$own/events.db" ]
read_from "$folder/service/$own" apiary events
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
mkdir "$folder/below"
(cd "$folder/below" && exec apiaryd --config "$config" --state here) >"$folder/daemon" 2>&1 &
daemon=$!
until_true [ -s "$folder/below/here/$own/events.db" ]
read_from "$folder/below/here/$own" apiary events
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null

other() { :; }
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    other() { setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nowhere XDG_STATE_HOME="$folder/others" "$@"; }
fi
if [ "$(other apiary --version 2>/dev/null | wc -l)" -gt 0 ]; then # who may reach the programs
    # Another user may read the segment, and not the folder.
    daemon_start apiaryd --config "$config" --state "$folder/option"
    until_true sh -c "ls -l /proc/$daemon/fd | grep -q events.lock"
    expect 0 "keeps events is not known here: only its user and root may see what pid $daemon has open" other apiary events
    expect 0 "$none" other apiary events
    expect 0 'daemon joined' other apiary events
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null
    # One who may write the segment and says that he is its coordinator: the segment's owner follows him nowhere.
    mkdir "$folder/others" && chown 65534:65534 "$folder/others"
    daemon_start setpriv --reuid 65534 --regid 65534 --clear-groups apiaryd --config "$config" --state "$folder/others"
    until_true [ -s "$folder/others/$own/events.db" ]
    read_from "$folder/others/$own" other apiary events
    why="pid $daemon keeps them in $folder/others/$own, which is not trusted: it belongs to user 65534 with mode 700"
    expect 0 "$why" apiary events
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null
fi
ends
