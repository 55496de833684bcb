#!/bin/bash
# The Python module on a real segment, beside a C swarm: tests/python/*.py by unittest.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
export PYTHONPATH=$APIARY_BUILD/python PYTHONDONTWRITEBYTECODE=1
[ -e "$PYTHONPATH/apiary/_apiary.abi3.so" ] || { echo 'skipped: there is no Python module in this build'; exit 77; }
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'skipped: python3 is older than 3.11'; exit 77; }
cat >"$config" <<END
meta_registry: {members: 64, lanes: 256, tasks: 4096, payload: {blocks_256KiB: 32}}
swarms:
  - service: c_service
    workers: 2
    agents:
      - {name: echo, kind: exec, capabilities: [echo],
         config: {command: [env, python3, $APIARY_SOURCE/tests/python/echo.py], persistent: 2}}
      - {name: words, kind: exec, capabilities: [upper, words, refuse],
         config: {command: [env, python3, $APIARY_SOURCE/tools/examples/exec/words.py], persistent: 2}}
      - {name: hang, kind: exec, capabilities: [hang], config: {command: [tail, -f, /dev/null], concurrency: 16}}
END
start "$folder/daemon.log" apiaryd --config "$config"
until_true apiary status
start "$folder/queen.log" apiary queen c_service --config "$config"
queen=$last
until_true apiary check c_service
python3 -m unittest discover -s "$APIARY_SOURCE/tests/python" -v || fail "unittest: $?"
# The wheel: what its target packs, packed here, since a build may be under way; installed without a network, and used.
if /usr/bin/python3 -m wheel version >/dev/null 2>&1 && python3 -m pip --version >/dev/null 2>&1; then
    mkdir "$folder/wheel" && cp -r "$PYTHONPATH/apiary" "$APIARY_BUILD"/wheel/apiary-*.dist-info "$folder/wheel"
    /usr/bin/python3 -m wheel pack "$folder/wheel" --dest-dir "$folder" >/dev/null || fail 'the wheel cannot be packed'
    python3 -m pip install -q --no-index --no-deps --no-warn-script-location --root-user-action=ignore --target "$folder/site" \
        "$folder"/apiary-*.whl || fail 'the wheel cannot be installed'
    expect 0 '^installed$' env PYTHONPATH="$folder/site" python3 -c \
        'import apiary; print(apiary.attach().call("echo", "installed").decode())'
else
    echo 'the wheel is not tried: there is no python3-wheel, or no pip'
fi

unused() { apiary status | grep -q ' 0 of 4096 tasks in use'; }
until_true unused
expect 0 '' shmdump --verify
kill -TERM "$queen"
wait "$queen" || fail "the queen's end: $?"
grep -E 'level=(error|critical)' "$folder/queen.log" && fail 'the queen had errors'
ends
