# Sourced by the tests of what operators change, after lib_http.sh: `operated` starts two services by apiary up, with HTTP. $up is that
# process. A task of the capability gate waits for a line in $folder/gate; one of text.fails fails.
# shellcheck shell=bash disable=SC2154,SC2034

operated()
{
    mkfifo "$folder/gate"
    cat >"$config" <<END
meta_registry: {members: 64, lanes: 128, tasks: 512}
swarms:
  - service: text_service
    queen: {instances: 2}
    agents:
      - {name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}
      - {name: fails, kind: exec, capabilities: [text.fails], config: {command: [sh, -c, 'exit 7']}}
  - service: gate_service
    agents: [{name: gate, kind: exec, capabilities: [gate], config: {concurrency: 1, command: [sh, -c, 'read x <$folder/gate']}}]
END
    APIARY_LISTEN=127.0.0.1:0 start "$folder/up" apiary up --config "$config" --verbose
    up=$last
    until_true apiary wait --all --config "$config"
    served "$folder/up"
}
