#!/bin/bash
# The buttons of the page in a real browser: what is asked before anything happens, with the token, without one and with a wrong one; what
# the segment has then; the dialogs in both widths and both themes, and by keyboard.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_operated.sh" || exit 1
type -P chromium >/dev/null || type -P chromium-browser >/dev/null || type -P google-chrome >/dev/null || {
    echo 'skipped: there is no Chromium (Debian: chromium)'
    exit 77
}

operated
token=$(apiary token) || fail 'there is no token'

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
up_now='document.querySelector("#link").dataset.link === "up"'
dialog='document.querySelector("dialog.operate")'
press() # press NAME: the button of that name in the page
{
    page until "[...document.querySelectorAll('main button')].some((b) => b.textContent === '$1' && b.getClientRects().length)"
    page js "[...document.querySelectorAll('main button')].find((b) => b.textContent === '$1' && b.getClientRects().length).click()"
    page until "$dialog.open"
}
# fill LABEL VALUE: the field of the dialog whose label begins so
fill()
{
    page js "(() => { const f = [...$dialog.querySelectorAll('label')].find((l) => l.textContent.startsWith('$1')).querySelector('input, select'); f.value = '$2'; f.dispatchEvent(new Event('input')); f.dispatchEvent(new Event('change')); })()"
}
says() # says PART: the dialog's text has it
{
    page js "$dialog.innerText.includes(\"$1\")"
    [ "$answer" = true ] || { page js "$dialog.innerText"; fail "the dialog does not say '$1': $answer"; }
}
go() { page js "$dialog.querySelector('[type=submit]').click()"; }
refused() # refused PART: the dialog says so, and stays
{
    page until "$dialog.querySelector('.refused').innerText.includes(\"$1\")"
    page js "$dialog.open"
    [ "$answer" = true ] || fail "the dialog has gone over: $1"
}
done_with() # done_with SENTENCE: it has gone, and the page says so
{
    page until "!$dialog.open && document.querySelector('main .done:not([hidden])')?.innerText === \"$1\""
}
asks_token()
{
    page js "!$dialog.querySelector('input[type=password]').closest('label').hidden"
    [ "$answer" = "$1" ] || fail "the token is asked for: $answer"
}

page size 1280 900
page scheme light
page open "$http/#/swarm/text_service"
page until "$up_now"
page until "document.querySelector('h1').innerText === 'text_service'"

# ---- a drain: without a token, with a wrong one, with the right one

press Drain
says '2 instances of text_service will get no new tasks until they are resumed'
says 'Nobody else of the service is left'
asks_token true
fill Instance 1
says '1 instance of text_service will get no new tasks'
go # without a reason the browser asks for it
page js "$dialog.open && $dialog.querySelector('.refused').innerText === '' && $dialog.matches(':has(input:invalid)')"
[ "$answer" = true ] || fail "without a reason it is asked: $answer"
fill Reason 'for the test'
go
refused "needs 'Authorization: Bearer TOKEN'; 'apiary token' prints the token"
fill Token "${token%?}\u00e9\u2026"
go
refused 'A token is 64 hexadecimal digits'
asks_token true
fill Token "$(tr 0-9a-f 1-9a-f0 <<<"$token")"
go
refused "the token is another one"
for scheme in light dark; do
    for size in '1280 900' '390 844'; do
        page scheme "$scheme"
        page size "$size"
        page js 'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))'
        page look "a refused drain $scheme $size"
        page js "(() => { const r = $dialog.getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth && r.top >= 0 && r.bottom <= innerHeight; })()"
        [ "$answer" = true ] || fail "the dialog is not on the screen: $scheme $size"
    done
done
page size 1280 900
page js 'sessionStorage.getItem("apiary-token")'
[ "$answer" = null ] || fail "a wrong token is kept: $answer"
fill Token "$token"
fill 'Your name' ann
go
done_with '1 instance drained'
expect 0 'text_service/1: drain: for the test' apiary status
until_true sh -c 'apiary events --kind operated | grep -q "drain, by ann: for the test; text_service/1"'
page until "document.querySelector('main').innerText.includes('passing, drain')"

# ---- what follows asks for no token, and for a name that it knows; the token is in no address

press Resume
asks_token false
page js "[...$dialog.querySelectorAll('label')].find((l) => l.textContent.startsWith('Your name')).querySelector('input').value"
[ "$answer" = '"ann"' ] || fail "the name is $answer"
fill Reason over
go
done_with '2 instances ready'
press Weight
says 'will have the weight 100'
fill Weight 0
says 'With 0 they get tasks only where nobody else is there'
fill Weight 1001
fill Reason 'x'
go
page js "$dialog.open"
[ "$answer" = true ] || fail 'a weight of 1001 is asked for'
fill Weight 50
go
done_with '2 instances weighted'
press Scale
says 'text_service has 2 instances'
fill Instances 3
says '1 instance of text_service will be started'
fill Reason 'more of them'
go
done_with 'text_service has 3 instances'
page js 'location.href + document.cookie + JSON.stringify(localStorage)'
[[ $answer != *$token* ]] || fail "the token is told: $answer"

# ---- something has changed meanwhile

page js 'import("./main.js").then(({app}) => { window.app = app; return 1; })'
page until "app.model.services.get('text_service').instances.length === 3"
press Pause
says '3 instances of text_service will'
expect 0 '' apiary scale text_service --instances 4
fill Reason 'too late'
go
refused '4 instances are meant by now, not 3; nothing was done, look again'

# ---- by keyboard: Escape goes, Enter in the reason asks, the focus is where it was

page key Escape
page until "!$dialog.open && app.model.services.get('text_service').instances.length === 4"
page js '[...document.querySelectorAll("main button")].find((b) => b.textContent === "Resume").focus()'
page key Enter
page until "$dialog.open && document.activeElement === [...$dialog.querySelectorAll('label')].find((l) => l.textContent.startsWith('Reason')).querySelector('input')"
page key Tab
page js "$dialog.contains(document.activeElement)"
[ "$answer" = true ] || fail 'the focus leaves the dialog'
fill Reason 'by keyboard'
page js "[...$dialog.querySelectorAll('label')].find((l) => l.textContent.startsWith('Reason')).querySelector('input').focus()"
page key Enter
done_with '4 instances ready already'
page js 'document.activeElement.textContent'
[ "$answer" = '"Resume"' ] || fail "the focus is at $answer"

# ---- tasks

for i in 1 2 3; do apiary delegate text.fails abc --retry 2,backoff=1ms >/dev/null 2>&1; done
task=$(apiary delegate gate --detach)
kept=$(apiary delegate text.upper abc --detach --keep 1h)
page js "location.hash = '#/tasks?tab=dead'"
page until "document.querySelectorAll('tr[data-key]').length === 3"
page js "Math.max(...[...document.querySelectorAll('tr[data-key]')].map((r) => Number(r.dataset.key)))"
former=$answer
press 'Retry these'
says '3 tasks will be delegated anew'
page look 'retry'
fill Reason again
go
done_with '3 tasks delegated anew'
page until "((rows) => rows.length === 3 && rows.every((r) => Number(r.dataset.key) > $former))([...document.querySelectorAll('tr[data-key]')])" # they fail again
press 'Discard these'
fill Reason 'no use'
go
done_with '3 tasks discarded'
expect 0 '"dead": *\[\]' sh -c 'apiary dead ls --json | tr -d "\n"'
page js "location.hash = '#/tasks?task=$task'"
press 'Cancel task'
says "1 task will be taken back if queued; one that runs is told, and its agent may look: $task"
fill Reason 'no more'
go
done_with '1 task cancelled'
page js "location.hash = '#/tasks?tab=kept&task=$kept'"
press 'Forget result'
fill Reason read
go
done_with '1 task forgotten'

# ---- the browser itself tells of the refusals, and nobody else

page said
python3 - "$answer" <<'END' || fail "the page said something: $answer"
import json, sys
told = json.loads(sys.argv[1])
other = [s for s in told["said"] if "Failed to load resource: the server responded with a status of" not in s]
assert not other, other
statuses = sorted(s.split("status of ")[1][:3] for s in told["said"])
assert statuses == ["401", "401", "409"], statuses
assert len(told["hosts"]) == 1
END

# ---- the coordinator goes: that is said in words

page js "location.hash = '#/swarm/text_service'"
press Drain
fill Reason 'nobody hears'
kill -TERM "$up"
wait "$up"
go
refused 'apiaryd does not answer'

exec {browser[1]}>&- # it closes the browser
wait "$browser_pid"
ends
