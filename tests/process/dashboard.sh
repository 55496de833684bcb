#!/bin/bash
# The page of the coordinator in a real browser, driven by its DevTools protocol: every view, in both widths and both themes, judged for
# contrast, size, names and overflow; figures that follow the tasks; a queen that is killed while she is looked at; a coordinator that is
# killed, which the page says, and from which it comes back by itself; the keyboard. Nothing is said on the console, and no other host
# is asked for anything.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
type -P chromium >/dev/null || type -P chromium-browser >/dev/null || type -P google-chrome >/dev/null || {
    echo 'skipped: there is no Chromium (Debian: chromium)'
    exit 77
}

mkfifo "$folder/gate"
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 256}
swarms:
  - service: text_service
    agents:
      - {name: upper, kind: exec, capabilities: [text.upper], config: {command: [tr, a-z, A-Z]}}
      - {name: failing, kind: exec, capabilities: [{name: text.fail, target_success: 99}], config: {command: ["false"]}}
  - service: gate_service
    agents: [{name: gate, kind: exec, capabilities: [gate.pass], config: {command: [cat, $folder/gate]}}]
END
start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"
start "$folder/text" apiary queen text_service --config "$config"
text=$last
start "$folder/gates" apiary queen gate_service --config "$config"
expect 0 '' apiary wait --all --config "$config"

coproc browser { TMPDIR=$folder exec python3 "$APIARY_SOURCE/tests/process/lib_dashboard.py" 2>"$folder/browser"; }
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
says() # says NAME: the value of a figure
{
    page "js [...document.querySelectorAll('.figure')].find((f) => f.children[0].textContent === '$1').children[1].textContent"
}
figure() # figure NAME EXPRESSION: until its value v makes it true
{
    page "until ((v) => $2)([...document.querySelectorAll('.figure')].find((f) => f.children[0].textContent === '$1').children[1].textContent)"
}
up='document.querySelector("#link").dataset.link === "up"'
row() { echo "document.querySelector('tr[data-key=\"$1\"]')"; }

# ---- the parts, and the figures

page size 1280 900
page scheme light
page open "$http/"
page until "$up"
page parts
figure 'Services passing' 'v === "2 of 2"'
figure Memory '/^[0-9.]+ MiB$/.test(v)'
figure Processor '/ %$/.test(v)'
page js "location.hash = '#/swarm/text_service'"
page until "document.querySelector('h1').innerText === 'text_service' && [...document.querySelectorAll('td')].length > 0"
heap_of() # the cell of the agents' first row under "Heap"
{
    echo "((t) => t && t.querySelector('tbody tr[data-key]')?.cells[[...t.querySelectorAll('th')].findIndex((h) => h.innerText.startsWith('Heap'))]?.innerText)([...document.querySelectorAll('table')].find((t) => [...t.querySelectorAll('th')].some((h) => h.innerText.startsWith('Heap'))))"
}
page until "/^[0-9.]+ .?i?B\$/.test($(heap_of))"
page js "location.hash = '#/'"
page until "document.querySelector('.figure')"
says Success
[ "$answer" = '"-"' ] || fail "nothing was asked, and it says $answer"
# While nothing changes nothing is asked, and the page does not say that it has looked.
page js 'Promise.all([import("./main.js"), import("./source.js")]).then(([{app}, {link}]) => { window.quiet = () => Date.now() - link.answered > 5000 && {ahead: app.model.at - link.answered}; })'
page until '(window.seen ||= window.quiet())'
page js 'window.seen.ahead < 1000'
[ "$answer" = true ] || fail 'the page tells of a time in which it has not asked'
expect 0 '^ABC' apiary delegate text.upper abc
figure Success 'v === "100 %"'
expect 1 '' apiary delegate text.fail x
figure Success 'v === "50.0 %"'
expect 7 '' apiary delegate gate.pass x --timeout 200ms # it ends after its caller has given it up: late
late_is() # the gate lets it go, if it is still there
{
    exec 9<>"$folder/gate"
    echo go >&9
    exec 9>&-
    apiary status gate_service --json | grep -q '"late": 1'
}
until_true late_is
figure Success 'v === "33.3 %"'
page until "$(row text_service) && $(row text_service).innerText.includes('50.0 %')"

# ---- every view, in both widths and both themes

task=$(apiary delegate --detach gate.pass x)
start "$folder/claim" apiary claim run lock/one -- cat "$folder/gate"
until_true sh -c 'apiary claim ls | grep -q lock/one'
expect 0 '' apiary memory put user/1 hello
expect 0 '' apiary memory put bytes "$(printf 'a\\001b')" --local text_service
ended=$(shmdump --json | python3 -c 'import json, sys; print([t["task"] for t in json.load(sys.stdin)["finished"] if t["capability"] == "text.fail"][0])')
for scheme in light dark; do
    for size in '1280 900' '390 844'; do
        page scheme "$scheme"
        page size "$size"
        for view in overview flow swarm/text_service tasks "tasks?task=$task" 'tasks?tab=slow' 'tasks?tab=ended' "tasks?tab=ended&task=$ended" 'tasks?tab=dead' 'tasks?tab=kept' coordination 'coordination?key=user/1' events; do
            page js "location.hash = '#/$view'"
            page until "document.querySelector('nav [aria-current]').dataset.view === '${view%%[/?]*}'"
            page js 'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))'
            page look "$view $scheme $size"
        done
    done
done
page size 1280 900
page js "location.hash = '#/tasks'"
page until "$(row "$task") && $(row "$task").innerText.includes('running')"
page js "location.hash = '#/tasks?tab=ended&task=$ended'"
page until "document.querySelector('svg.life')?.textContent.includes('text.fail by text_service/failing') && document.querySelector('svg.life').textContent.includes('$ended')"
page until "$(row "$ended 1 failed") && $(row "$ended 1 failed").innerText.includes('APIARY_EAGENT')"
page js "location.hash = '#/coordination'"
page until "document.querySelector('main').innerText.includes('lock/one')"
page until "$(row user/1)"
page js "$(row user/1).click()"
page until "document.querySelector('pre').innerText === 'hello'"
page js "$(row @text_service).click()"
page until "$(row bytes) && !document.querySelector('pre').offsetParent"
page js "location.hash = '#/events?kind=swarm-registered'"
page until "document.querySelectorAll('tr[data-key]').length === 2"

# ---- the choices are in the address; the theme's switch

page js "location.hash = '#/overview?w=1h&p=99.9'"
page until 'document.querySelector("#window").value === "1h" && document.querySelector("#percentile").value === "99.9"'
page js 'const s = document.querySelector("#window"); s.value = "1m"; s.dispatchEvent(new Event("change")); location.hash'
[[ $answer == *w=1m* ]] || fail "the window is not in the address: $answer"
page js 'const t = document.querySelector("#theme"); t.value = "light"; t.dispatchEvent(new Event("change")); getComputedStyle(document.body).colorScheme || getComputedStyle(document.documentElement).colorScheme'
[ "$answer" = '"light"' ] || fail "the theme is $answer"

# ---- the keyboard: the first stop is the way past the head; rows are walked through, and opened

page js 'document.activeElement.blur(); scrollTo(0, 0)'
page open "$http/#/overview"
page until "$up && $(row gate_service)"
page key Tab
page js 'document.activeElement.className'
[ "$answer" = '"skip"' ] || fail "the first stop is $answer"
page js '(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; })()'
[ "$answer" = true ] || fail 'the focus is not seen'
page js 'document.querySelector("tr[data-key][tabindex=\"0\"]").focus()'
page key ArrowDown
page js 'document.activeElement.dataset.key'
below=$answer
page key ArrowUp
page js 'document.activeElement.dataset.key'
[ "$below" != "$answer" ] && [ "$answer" != null ] || fail "the rows are not walked through: $below, $answer"
page key Enter
page until 'location.hash.startsWith("#/swarm/")'

# ---- a queen dies while she is looked at

page js "location.hash = '#/swarm/text_service'"
page until "document.querySelector('h1').innerText === 'text_service' && document.querySelector('.title .badge').innerText.includes('passing')"
kill -9 "$text"
wait "$text" 2>/dev/null
page until "document.querySelector('main').innerText.includes('is not registered') || document.querySelector('.title .badge').innerText.includes('down')"
start "$folder/text" apiary queen text_service --config "$config"
page until "document.querySelector('.title .badge')?.innerText.includes('passing')"
page js "location.hash = '#/events?kind=swarm-died'"
page until "document.querySelectorAll('tr[data-key]').length === 1"

# ---- the coordinator dies: the page says so, comes back by itself, and marks the gap

page said
quiet='{"said": [], "hosts": ["'${http#http://}'"]}'
[ "$answer" = "$quiet" ] || fail "the page said something, or asked another host: $answer"
page js "location.hash = '#/overview?w=5m'"
past_has() { body_of "/v1/history?step=10s" | python3 -c 'import json, sys; sys.exit(not any("done" in r for s in json.load(sys.stdin)["steps"] for r in s["rows"]))'; }
until_true past_has
page until "$(row text_service).innerText.includes('missed')" # a target, which is judged by the past
page until "document.querySelector('tbody tr[data-key]').dataset.key === 'text_service'"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
page until 'document.querySelector("#link").dataset.link === "down" && document.querySelector("#link").innerText.includes("does not answer")'
page js 'document.querySelector("[role=status]").textContent'
[ "$answer" = '"apiaryd does not answer"' ] || fail "what is read out: $answer"
start "$folder/daemon" apiaryd --config "$config" --listen "${http#http://}"
served "$folder/daemon"
page until "$up"
page js 'import("./main.js").then(({app}) => app.gaps.length === 1 && app.gaps[0].to > app.gaps[0].from)'
[ "$answer" = true ] || fail 'the gap is not marked'
page until 'document.querySelector(".chart").querySelectorAll(".no-data").length === 2'
figure 'Services passing' 'v === "2 of 2"'
page look 'after the gap'
page said # of the refused connections

# ---- a page that is opened then shows the past at once, the gap of it is marked, and nothing is told of it

of_past() # of_past EXPRESSION of app, the gap g and the points of the rate
{
    echo "import('./main.js').then(async ({app}) => { const {rates} = await import('./overview.js'); const g = app.past.gaps[0];" \
        "const points = rates(app.stores.services, '', app.window, 120); return $1; })"
}
page open about:blank
page open "$http/#/overview?w=15m&p=99.99"
page until "$up"
page js 'import("./main.js").then(({app}) => { window.looked = app; })'
page until 'window.looked.past.gaps.length === 1'
page js "$(of_past 'points.some((p) => p.t <= g.from && p.v > 0)')"
[ "$answer" = true ] || fail 'what was before the gap is not shown'
page js "$(of_past 'points.filter((p) => p.t > g.from + 2000 && p.t < g.to + 2000).every((p) => p.v === null)')"
[ "$answer" = true ] || fail 'something is told of the gap'
figure Success '/^[0-9.]+ %$/.test(v)'
page until 'document.querySelector(".chart").querySelectorAll(".no-data").length === 2'
page js 'document.querySelectorAll(".chart .mark").length > 0'
[ "$answer" = true ] || fail 'no events below the charts'
page js "location.hash = '#/swarm/text_service?w=1w&p=50'"
page until 'document.querySelectorAll(".cell").length > 0'
page js "location.hash = '#/swarm/text_service?w=1m&p=99.9'"
page until 'window.looked.windowName === "1m"'
page look 'the past'
page said
[ "$answer" = "$quiet" ] || fail "the page said something of the past: $answer"

exec {browser[1]}>&- # it closes the browser
wait "$browser_pid"

[ "$failures" -eq 0 ] || echo "$failures failures"
[ "$failures" -eq 0 ]
