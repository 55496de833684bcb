# Sourced by elixir*.sh: a segment with C agents, and mix in a build of its own. Exits 77 where there is no Elixir or no NIF.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

command -v mix >/dev/null && command -v elixir >/dev/null || { echo 'no Elixir (Debian: elixir erlang-dev erlang-nox)'; exit 77; }
export APIARY_NIF=$APIARY_BUILD/elixir/apiary_nif.so
[ -e "$APIARY_NIF" ] || { echo "$APIARY_NIF is not built: no erl_nif.h (Debian: erlang-dev), or a sanitizer"; exit 77; }
export MIX_BUILD_PATH=$APIARY_BUILD/elixir/mix MIX_ENV=test HEX_OFFLINE=1 HOME=$folder ERL_CRASH_DUMP_SECONDS=0
# Nodes and their schedulers are as many as the processors say; what a test shows does not depend on it.
unset ERL_FLAGS ERL_AFLAGS ELIXIR_ERL_OPTIONS

# started: the coordinator and a service in C
started()
{
    cat >"$config" <<END
meta_registry: {segment: $APIARY_SEGMENT, max_concurrent_delegations: 1000, max_unnamed_delegations: 1000}
swarms:
  - service: text_service
    agents:
      - {name: shouter, kind: exec, capabilities: [text.upper], config: {command: [/usr/bin/tr, a-z, A-Z]}}
      - {name: sleeper, kind: exec, capabilities: [sleep], config: {command: [/bin/sleep, "30"]}}
END
    start "$folder/up.out" apiary up --config "$config"
    up=$last
    until_true apiary wait --capability text.upper --timeout 1s
    # Compiled once for all tests of a build; several may begin at once.
    (
        flock 9 && cd "$APIARY_SOURCE/agents/elixir" && mix compile --no-deps-check >"$folder/compile.out" 2>&1
    ) 9>"$APIARY_BUILD/elixir/.lock" || { cat "$folder/compile.out"; exit 1; }
}

# node FILE SCRIPT [ARGUMENT...]: an Elixir program as a node of its own in the background, its output in FILE; the pid is in $last.
node()
{
    local out=$1
    shift
    start "$out" elixir --no-halt -pa "$MIX_BUILD_PATH/lib/apiary/ebin" -e '{:ok, _} = Application.ensure_all_started(:apiary)' -r "$@"
}
