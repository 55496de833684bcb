#!/bin/bash
# apiary report: all that it names is in the archive, of a living segment and of a dead one; no secret of the configuration is; a part
# that fails takes no other with it; nothing is left beside the archive, also when it is told to end.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
cd "$folder" || exit 1

cat >"$config" <<END
# hidden-in-a-comment
meta_registry: {members: 32, lanes: 64}
swarms:
  - service: first
    agents:
      - name: echo
        plugin: $APIARY_BUILD/examples/echo_agent.so
        capabilities: [echo]
        config: {greeting: "plain --password=hidden-in-a-word http://user:hidden-in-a-url@host/?token=hidden-in-a-query&x=shown "}
      - name: runs
        kind: exec
        capabilities: [runs]
        config:
          command: [/bin/cat, -u, --password, hidden-in-the-next-word, "X-Api-Key: hidden-in-a-header", shown-behind]
          env: [PLAIN=hidden-in-env]
      - name: asks
        kind: http
        capabilities: [asks]
        config: {port: 80, headers: ["Authorization: Bearer hidden-as-a-header", "X-Session: hidden-in-another"]}
END
start "$folder/up" apiary up --config "$config"
up=$last
expect 0 '' apiary wait --all --config "$config" --timeout 60s
expect 0 . apiary delegate echo body-of-a-task
expect 0 '' apiary memory put name value-of-a-key

# unpacked FILE: its one folder, in $report.
unpacked()
{
    rm -rf "$folder/unpacked"
    mkdir "$folder/unpacked"
    tar -xzf "$1" -C "$folder/unpacked" || fail "$1 cannot be unpacked"
    report=$(echo "$folder"/unpacked/apiary-report-*)
    [ -s "$report/CONTENTS" ] || fail "no CONTENTS in $1"
}
whole() # whole: each part is there, and each of JSON is such
{
    local part
    for part in status.json services.json events.json tasks.json dead.json kept.json claims.json memory.json segments.json \
        shmdump.json check.txt verify.txt processes.txt host.txt "$@"; do
        [ -s "$report/$part" ] || fail "$part is missing: $(cat "$report/CONTENTS")"
        [[ $part != *.json ]] || python3 -m json.tool "$report/$part" >/dev/null || fail "$part is no JSON"
    done
}

expect 0 'of tasks, results and values' apiary report --config "$config" --output one.tar.gz
[ "$(stat -c %a one.tar.gz)" = 600 ] || fail "others may read the archive"
unpacked one.tar.gz
whole config.yaml segment
! grep -q MISSING "$report/CONTENTS" || fail "something is missing: $(cat "$report/CONTENTS")"
expect 0 . shmdump --verify "$report/segment"
grep -q '"service": "first"' "$report/status.json" || fail "no service in status.json"
grep -q "^==== pid $(pgrep -P "$up" -x apiaryd || echo "$up")\$" "$report/processes.txt" || fail "no process of it: $(grep ==== "$report/processes.txt")"

# The configuration: what is a secret is left out, what is none is not.
grep -rl 'hidden-in' "$report"/*.yaml "$report"/*.txt "$report"/CONTENTS && fail "a secret is told"
for shown in 'service: first' 'x=shown' 'PLAIN=' '/bin/cat' '@host' 'shown-behind' 'X-Session:'; do
    grep -qF -- "$shown" "$report/config.yaml" || fail "config.yaml has no '$shown': $(cat "$report/config.yaml")"
done

# Without the segment's copy nothing of a task's body is there.
expect 0 '1 that could not be had' apiary report --config "$config" --no-segment --output two.tar.gz
unpacked two.tar.gz
whole config.yaml
[ ! -e "$report/segment" ] || fail "--no-segment copies the segment"
grep -rl 'body-of-a-task\|value-of-a-key' "$report" && fail "what a task carries is told"

# Nothing is replaced, and the JSON says what is there.
expect 1 'is there already' apiary report --output two.tar.gz
expect 0 '"files"' apiary report --json --output three.tar.gz
python3 - "$output" <<'END' || fail "--json: $output"
import json, sys
told = json.loads(sys.argv[1])
sys.exit(told['schema'] != 1 or 'status.json' not in told['files'] or [m['file'] for m in told['missing']] != ['config.yaml'])
END
rm -f one.tar.gz two.tar.gz three.tar.gz

# A name of its own, in the folder from which it is called.
expect 0 '^apiary-report-' apiary report
[ "$(echo apiary-report-"${APIARY_SEGMENT#/}"-*.tar.gz | wc -w)" = 1 ] && [ -e apiary-report-*.tar.gz ] || fail "no archive of that name"
rm -f apiary-report-*

# One that is told to end, wherever it is, leaves nothing; one that may not write says so.
begun() { compgen -G '.apiary-report-*' || gone "$last"; }
for turns in 0 1 2 3 5 8; do
    start "$folder/ended" apiary report --output ended.tar.gz
    until_true begun
    for ((i = 0; i < turns; i++)); do turn; done
    kill -TERM "$last" 2>/dev/null
    wait "$last"
    got=$?
    case $got in
    0) rm -f ended.tar.gz ;;
    143) [ ! -e ended.tar.gz ] || fail "it was told to end, and there is an archive" ;;
    *) fail "told to end it exited $got: $(cat "$folder/ended")" ;;
    esac
    ! compgen -G '.apiary-report-*' || fail "its folder is left"
done
mkfifo config.fifo
expect 0 'could not be had' apiary report --config config.fifo --output fifo.tar.gz
expect 1 '--output names another place' apiary report --output /proc/none.tar.gz

# A configuration that is no YAML, and a segment whose processes are all dead.
echo 'a: [' >broken.yaml
kill -KILL "$up" $(pgrep -P "$up")
wait "$up" 2>/dev/null
expect 0 'could not be had' apiary report --config broken.yaml --output dead.tar.gz
unpacked dead.tar.gz
whole segment
grep -q '^config.yaml *MISSING: line' "$report/CONTENTS" || fail "the broken configuration: $(cat "$report/CONTENTS")"
expect 0 'echo' shmdump "$report/segment"

# No segment at all: the machine is told all the same.
expect 0 'could not be had' env APIARY_SEGMENT=/apiary-test-none-$$ apiary report --output none.tar.gz
unpacked none.tar.gz
[ -s "$report/host.txt" ] || fail "no host.txt: $(cat "$report/CONTENTS")"
grep -q '^status.json *MISSING: exit 3' "$report/CONTENTS" || fail "no reason: $(cat "$report/CONTENTS")"
left=$(find . -name '.apiary-report-*')
[ -z "$left" ] || fail "left behind: $left"
ends
