#!/bin/bash
# libcurl is loaded by the first agent that needs it. Where it cannot be, everything else works, and that agent says which file is
# missing or wrong. With the address sanitizer the loader would be told of its own libraries by the same variable.
# ctest: not address
# ctest: not thread
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1

cat >"$config" <<'YAML'
meta_registry: {members: 16, lanes: 32}
swarms:
  - service: near
    agents: [{name: near, kind: exec, capabilities: [near.echo], config: {command: [cat]}}]
  - service: far
    agents: [{name: far, kind: http, capabilities: [far.ask], config: {port: 8099}}]
YAML
library=$(grep -aoEm 1 'libcurl[a-z0-9_-]*\.so\.[0-9]+' "$APIARY_BIN/apiary") || fail "apiary names no libcurl"
mkdir "$folder/wrong" || exit 1
echo 'not a library' >"$folder/wrong/$library"

start "$folder/daemon" apiaryd --config "$config"
until_true grep -q created "$folder/daemon"
export LD_LIBRARY_PATH=$folder/wrong
expect 0 . apiary --version
expect 0 . apiary config check "$config"
start "$folder/near" apiary queen -c "$config" near
near=$last
expect 0 ^ apiary wait near -t 30s
expect 0 hello apiary delegate near.echo hello
expect 77 "http: libcurl: .*$library" apiary queen -c "$config" far
unset LD_LIBRARY_PATH
start "$folder/far" apiary queen -c "$config" far
expect 0 ^ apiary wait far -t 30s
grep -qF "$library" "/proc/$near/maps" && fail "a queen without an HTTP agent has loaded libcurl"
grep -qF "$library" "/proc/$last/maps" || fail "a queen with one has not"
ends
