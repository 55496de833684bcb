#!/bin/bash
# The page in a real browser where ten thousand services are registered: its overview has a row for each, of which it makes those that
# are seen; the last is reached by a key, and each is found by its name. Nothing is said on the console.
# ctest: serial
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
type -P chromium >/dev/null || type -P chromium-browser >/dev/null || type -P google-chrome >/dev/null || {
    echo 'skipped: there is no Chromium (Debian: chromium)'
    exit 77
}
services=10000
[ -z "$APIARY_SANITIZE" ] || services=1000
mkfifo "$folder/in"
: >"$folder/wide"
"$APIARY_TEST_BIN/wide" "$APIARY_SEGMENT" "$services" <"$folder/in" >"$folder/wide" &
wide=$!
exec 8>"$folder/in"
until_true grep -q ready "$folder/wide"
echo 'meta_registry: {health_check_interval: 3600000}' >"$config" # no agent here answers a probe
start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"

coproc browser { TMPDIR=$folder exec python3 "$APIARY_SOURCE/tests/process/lib_dashboard.py" 2>"$folder/browser" 8>&-; }
browser_pid=$browser_PID
page() # page COMMAND...: its answer is in $answer
{
    echo "$*" >&"${browser[1]}"
    if ! read -r answer <&"${browser[0]}"; then
        echo "FAILED: the browser's driver has ended at: $*"
        cat "$folder/browser"
        exit 1
    fi
    [[ $answer != FAILED* ]] || fail "$*: $answer"
}
figure() # figure NAME EXPRESSION: until its value v makes it true
{
    page "until ((v) => $2)([...document.querySelectorAll('.figure')].find((f) => f.children[0].textContent === '$1').children[1].textContent)"
}
row() { echo "document.querySelector('tr[data-key=\"$1\"]')"; }
rows="document.querySelectorAll('tr[data-key]').length"

for size in '1280 900' '390 844'; do
    page size "$size"
    page open "$http/"
    page until 'document.querySelector("#link").dataset.link === "up" && document.querySelectorAll(".figure").length > 3'
    figure 'Services passing' "v === '$((services - services / 50)) of $services'"
    page until "document.querySelector('table').getAttribute('aria-rowcount') === '$((services + 1))'"
    page js "$rows"
    [ "$answer" -gt 2 ] && [ "$answer" -lt 200 ] || fail "$answer rows are made"
    page until "document.querySelector('tr[data-key]').innerText.includes('down')" # the worst first
    page js "document.querySelector('tr[data-key]').focus()"
    page key End
    page until "document.activeElement.getAttribute('aria-rowindex') === '$((services + 1))'"
    page js "document.activeElement.click()"
    page until "document.querySelector('nav [aria-current]').dataset.view === 'swarm'"
    page js "location.hash = '#/overview?f=service-$((services - 1))'"
    page until "$(row service-$((services - 1))) && $rows === 1"
    page js "location.hash = '#/overview'"
    page until "document.querySelector('table').getAttribute('aria-rowcount') === '$((services + 1))'"
done
page said
[ "$answer" = "{\"said\": [], \"hosts\": [\"${http#http://}\"]}" ] || fail "the page said: $answer"
exec {browser[1]}>&- # it closes the browser
wait "$browser_pid"
exec 8>&-
wait "$wide"
kill "$daemon"
wait "$daemon"
ends
