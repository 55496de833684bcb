# Sourced by the up_*.sh that have a service asked without a pause, after lib_cli.sh: loads (rolling.c), each with a name. Its files in
# $folder are ledger.NAME, which is there before and in which the agents count, load.NAME, what it says, and enough.NAME and count.NAME.
# shellcheck shell=bash disable=SC2154

declare -A loads

load() # load NAME CAPABILITY [OPTION...]
{
    local name=$1 capability=$2
    shift 2
    start "$folder/load.$name" "$APIARY_TEST_BIN/rolling" --segment "$APIARY_SEGMENT" --capability "$capability" \
        --ledger "$folder/ledger.$name" --until "$folder/enough.$name" --count "$folder/count.$name" "$@"
    loads[$name]=$last
}

load_done() # load_done NAME: how many tasks; 0: it has not said yet
{
    local n
    n=$(cat "$folder/count.$1" 2>/dev/null)
    echo "${n:-0}"
}

load_goes_on() # load_goes_on NAME...: of each, tasks that were begun after this have been done
{
    local name
    local -A from
    for name in "$@"; do from[$name]=$(load_done "$name"); done
    for name in "$@"; do
        until [ "$(load_done "$name")" -ge $((from[$name] + 128)) ]; do
            turn
            gone "${loads[$name]}" || continue
            fail "the load $name has ended: $(head -5 "$folder/load.$name")"
            ends
        done
    done
}

load_ends() # load_ends NAME...: they are over, and their ledgers balance
{
    local name
    for name in "$@"; do : >"$folder/enough.$name"; done
    for name in "$@"; do
        wait "${loads[$name]}" || fail "$name: $(head -5 "$folder/load.$name")"
        grep -qE '^[0-9]+ tasks, 0 failed, 0 lost, 0 run twice' "$folder/load.$name" || fail "$name: $(tail -1 "$folder/load.$name")"
        echo "$name: $(tail -1 "$folder/load.$name")"
    done
}
