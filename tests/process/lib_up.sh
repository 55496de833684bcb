# Sourced by the up_*.sh, after lib_cli.sh: misfortunes of a supervisor, during each of which a healthy service is asked
# again and again; every answer that does not come counts against it.

plugins=$APIARY_BUILD/plugins

# good_and MORE...: a configuration with the healthy service, one to be harmed, and more swarms as they stand in YAML.
good_and()
{
    cat <<END
meta_registry: {members: 64, lanes: 256, tasks: 512}
swarms:
  - service: good
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo]}]
  - service: harmed
    agents: [{name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}]
END
    printf '  - %s\n' "$@" | sed '/^  - $/d'
}

says() { grep -qE -- "$1" "$up_err"; }

up_lives() { if [ -n "${up:-}" ] && ! gone "$up"; then echo 1; else echo 0; fi; }

# told PATTERN: the supervisor says it. Its words go through a writer of its own, and may come after an answer that it has given.
told()
{
    local tries
    for ((tries = 0; tries < 1000 || $(up_lives); tries++)); do
        says "$1" && return
        turn
    done
    fail "$misfortune: nothing like '$1' was said"
}

# misfortune NAME CONFIG...: the next one; its files are $up_err and $up_out.
misfortune()
{
    misfortune=$1
    shift
    before=$failures
    up_err=$folder/err up_out=$folder/out
    : >"$up_err"
    : >"$up_out"
    rm -f "$folder/asked" "$folder/refused"
    good_and "$@" >"$config"
}

asked()
{
    [ "$(stat -c %s "$folder/asked" 2>/dev/null || echo 0)" -ge "$1" ]
}

# healthy: from here on the healthy service is asked, one call after another.
healthy()
{
    until_true answers echo
    : >"$folder/asked"
    : >"$folder/refused"
    : >"$folder/asking"
    (
        while [ -e "$folder/asking" ]; do
            said=$(apiary delegate echo ping --timeout 2m 2>&1) && [ "$said" = ping ] || echo "$said" >>"$folder/refused"
            printf . >>"$folder/asked"
            turn
        done
    ) &
    probe=$!
    until_true asked 1
}

# verdict: the healthy service has answered each time, also now.
verdict()
{
    local now
    now=$(stat -c %s "$folder/asked")
    until_true asked $((now + 2))
    rm "$folder/asking"
    wait "$probe"
    local refused
    refused=$(wc -l <"$folder/refused")
    now=$(stat -c %s "$folder/asked")
    [ "$refused" -eq 0 ] || fail "$misfortune: $refused of $now calls were not answered: $(sort "$folder/refused" | uniq -c | head -3)"
    if [ "$failures" -eq "$before" ]; then
        echo "$misfortune: $now calls answered, none refused"
    else
        echo "$misfortune: NOT HELD"
        tail -n 20 "$up_err"
    fi
}

answers()
{
    apiary delegate "$1" x --timeout 1m
}

# pid_of SERVICE: of an instance that passes; false when there is none.
pid_of()
{
    apiary status --json 2>/dev/null | python3 -c '
import json, sys
for s in json.load(sys.stdin)["swarms"]:
    if s["service"] == sys.argv[1] and s["state"] == "passing": print(s["pid"]); break
else: sys.exit(1)' "$1" 2>/dev/null
}

passes_anew() # passes_anew SERVICE OLD
{
    local now
    now=$(pid_of "$1")
    [ -n "$now" ] && [ "$now" != "$2" ]
}

# harm: the queen of the harmed service is killed.
harm()
{
    until_true pid_of harmed
    harmed=$(pid_of harmed)
    kill -KILL "$harmed"
}

comes_back()
{
    until_true passes_anew harmed "$harmed"
}

# leaves PID: told to, it ends and takes the segment along.
leaves()
{
    local children code
    mapfile -t children < <(pgrep -P "$1")
    kill -TERM "$1"
    until_true gone "$1"
    wait "$1" 2>/dev/null
    code=$? # 127: another one's child
    [ "$code" -eq 0 ] || [ "$code" -eq 127 ] || fail "$misfortune: it left with $code"
    for child in "${children[@]}"; do gone "$child" || fail "$misfortune: process $child is left behind"; done
    [ ! -e "/dev/shm$APIARY_SEGMENT" ] || fail "$misfortune: the segment is left behind"
}
