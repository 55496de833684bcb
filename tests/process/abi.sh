#!/bin/bash
# What was compiled for a release runs with this library. For each frozen set of public headers (tests/abi): a client and a plug-in
# are compiled with them, the client asks the plug-in in each way there is; error numbers are as they were.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
lib=$APIARY_BUILD/lib
sanitize=()
[ -z "$APIARY_SANITIZE" ] || sanitize=(-fsanitize="$APIARY_SANITIZE")
releases=0

for headers in "$APIARY_SOURCE"/tests/abi/[0-9]*; do
    release=${headers##*/}
    releases=$((releases + 1))
    flags=(-std=gnu11 -Wall -Wextra -Werror -Wno-missing-field-initializers "${sanitize[@]}" -I "$headers")
    "$CC" "${flags[@]}" "$APIARY_SOURCE/tests/abi/client.c" -o "$folder/client" -L "$lib" \
        -Wl,-rpath-link,"$lib" -lapiary-kinds -lapiary || fail "$release: no client"
    # One plug-in finds the interface in the program alone, the other is linked with the library, as some do.
    "$CC" "${flags[@]}" -shared -fPIC "$APIARY_SOURCE/tests/abi/agent.c" -o "$folder/agent.so" || fail "$release: no plug-in"
    "$CC" "${flags[@]}" -shared -fPIC "$APIARY_SOURCE/tests/abi/agent.c" -o "$folder/linked.so" -Wl,-rpath,"$lib" \
        -L "$lib" -lapiary || fail "$release: no linked plug-in"
    for node in APIARY APIARY_KINDS; do
        readelf -V "$folder/client" | grep -q "Name: ${node}_0\\.1 " || fail "$release: the client asks for no version of $node"
    done
    cat >"$config" <<-YAML
	meta_registry: {members: 32, lanes: 64, tasks: 512}
	swarms:
	  - service: abi_service
	    agents:
	      - {name: plain, plugin: $folder/agent.so, capabilities: [abi.ask], config: {greeting: "hello ", code: 42}}
	      - {name: linked, plugin: $folder/linked.so, capabilities: [abi.ask], config: {greeting: "hello ", code: 42}}
	YAML
    start "$folder/daemon" apiaryd --config "$config"
    daemon=$last
    until_true apiary status
    start "$folder/queen" apiary queen abi_service --config "$config"
    queen=$last
    until apiary check abi_service >/dev/null 2>&1; do
        gone "$queen" && { fail "$release: the queen: $(cat "$folder/queen")"; break; }
    done
    LD_LIBRARY_PATH=$lib "$folder/client" abi.ask || fail "$release: the client: exit $?"
    kill -TERM "$queen"
    wait "$queen" || fail "$release: the queen: exit $?: $(cat "$folder/queen")"
    kill -TERM "$daemon"
    wait "$daemon" || fail "$release: the coordinator: exit $?: $(cat "$folder/daemon")"
    apiary segment rm "$APIARY_SEGMENT" >/dev/null || fail "$release: the segment is not removed"

    # An error keeps its number for ever.
    numbers() { "$CC" -E -P -DX='NUMBER' -x c "$1/apiary_error.def" | sed -nE 's/.*NUMBER\(([A-Z_]+), *([^,]+),.*/\1 \2/p' | sort; }
    [ "$(numbers "$headers" | wc -l)" -gt 10 ] || fail "$release: its errors were not understood"
    changed=$(comm -23 <(numbers "$headers") <(numbers "$APIARY_SOURCE/core"))
    [ -z "$changed" ] || fail "errors of $release that have another number today: $changed"
done
[ "$releases" -gt 0 ] || fail 'no frozen headers in tests/abi'
ends
