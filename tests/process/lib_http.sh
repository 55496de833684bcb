# Sourced by the http*.sh, after lib_cli.sh: a coordinator that serves HTTP on a port of its own.
# shellcheck shell=bash disable=SC2154

# served FILE: until the daemon whose output is in FILE serves; its address is in $http, its socket in $socket.
served()
{
    until_true grep -q 'served on http' "$1"
    http=$(sed -n 's|.*HTTP is served on \(http://[^/]*\)/.*|\1|p' "$1" | tail -1)
    port=${http##*:}
    until_true grep -q 'http.sock' "$1"
    socket=$(sed -n 's|.*HTTP is served on \(/.*http.sock\).*|\1|p' "$1" | tail -1)
    export http port socket
}

# ask [--METHOD M] [--header 'NAME: VALUE'] [--socket PATH] PATH: the status in the first line, the headers, an empty line, the body.
ask()
{
    python3 "$APIARY_SOURCE/tests/process/lib_http.py" "$port" "$@"
}
body_of()
{
    ask "$@" | sed '1,/^$/d'
}
status_of() # status_of STATUS ARGUMENT...: whether it is that
{
    local want=$1 got
    shift
    got=$(ask "$@" | head -1)
    [ "$got" = "$want" ]
}
