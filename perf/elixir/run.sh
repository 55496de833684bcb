#!/bin/bash
# What it takes to ask a process of another Erlang node by apiary, beside Erlang's own distribution, in one run: perf/elixir/run.sh [BUILD]
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$source/build/release}
folder=$(mktemp -d)
export PATH=$build/bin:$PATH APIARY_SEGMENT=/apiary-perf-elixir-$$ APIARY_NIF=$build/elixir/apiary_nif.so APIARY_LISTEN=off
export MIX_BUILD_PATH=$build/elixir/mix MIX_ENV=test XDG_STATE_HOME=$folder/state ERL_EPMD_PORT=$((20000 + $$ % 10000))
pids=()
finish()
{
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$folder" "/dev/shm$APIARY_SEGMENT"
}
trap finish EXIT

epmd -port "$ERL_EPMD_PORT" & # a name server of its own, which ends with this
pids+=($!)
printf 'meta_registry: {segment: %s, max_concurrent_delegations: 1000}\nswarms: []\n' "$APIARY_SEGMENT" >"$folder/config.yaml"
apiaryd --config "$folder/config.yaml" 2>"$folder/apiaryd" &
pids+=($!)
until apiary status >/dev/null 2>&1; do sleep 0.1; done
(cd "$source/agents/elixir" && mix compile >/dev/null)
node() # node NAME ARGUMENT...: takes the place of the shell
{
    exec elixir --sname "$1@localhost" --cookie "$$" -pa "$MIX_BUILD_PATH/lib/apiary/ebin" \
        -e '{:ok, _} = Application.ensure_all_started(:apiary)' -r "$source/perf/elixir/nodes.exs" "${@:2}"
}
node "serve$$" serve >"$folder/serve" 2>&1 </dev/null &
pids+=($!)
until grep -q '^serving' "$folder/serve"; do sleep 0.1; done
(node "ask$$" ask "serve$$@localhost")
