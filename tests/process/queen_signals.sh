#!/bin/bash
# A queen that is told to leave finishes her task. More signals of her supervisor change nothing: the kernel tells her its death more
# than once. A second signal of anybody else ends her at once.
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
plugins=$APIARY_PLUGINS
cat >"$config" <<END
meta_registry: {members: 16, lanes: 32}
swarms:
  - {service: gated, agents: [{name: gate, plugin: $plugins/gate.so, capabilities: [gate.pass], config: {fifo: $folder/gate}}]}
END
mkfifo "$folder/gate" "$folder/orders"
exec 9<>"$folder/gate" 8<>"$folder/orders" # nobody who opens one for writing waits

# A supervisor of several threads: its queen has one end of a socket as descriptor 3, and gets SIGTERM from the kernel when the thread
# that has started her ends, and whoever is her parent after that. It obeys orders: "term" sends her a signal, "thread" ends that thread,
# "wait" waits for her end. How often it has sent one is in the file "sent", how she ended in the file "code".
cat >"$folder/supervisor.py" <<'END'
import ctypes, fcntl, os, signal, socket, subprocess, sys, threading
folder, command = sys.argv[1], sys.argv[2:]
def put(name, value):
    with open(folder + "/new", "w") as f:
        f.write("%d\n" % value)
    os.rename(folder + "/new", folder + "/" + name)
ours, hers = (fcntl.fcntl(s.detach(), fcntl.F_DUPFD_CLOEXEC, 10) for s in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
os.dup2(hers, 3)
os.close(hers)
libc = ctypes.CDLL(None)
started, ends = threading.Event(), threading.Event()
def start():
    global queen
    with open(folder + "/log", "w") as log:
        queen = subprocess.Popen(command, pass_fds=(3,), stderr=log, stdin=subprocess.DEVNULL,
                                 env=dict(os.environ, APIARY_KEEP_FDS="3"), preexec_fn=lambda: libc.prctl(1, signal.SIGTERM))
    started.set()
    ends.wait()
threading.Thread(target=start, daemon=True).start()
started.wait()
for i in range(16):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
put("pid", queen.pid)
sent = 0
for order in open(folder + "/orders"):
    if order == "term\n":
        queen.send_signal(signal.SIGTERM)
        sent += 1
        put("sent", sent)
    elif order == "thread\n":
        ends.set()
    else:
        break
put("code", queen.wait())
END

begin() # begin: a supervisor with its queen, and a task that runs
{
    rm -f "$folder/pid" "$folder/sent" "$folder/code"
    start "$folder/supervisor" python3 "$folder/supervisor.py" "$folder" apiary queen gated --config "$config" --drain 10m --changes
    supervisor=$last
    until_true apiary wait gated --timeout 1s
    start "$folder/result" apiary delegate gate.pass x --timeout 10m
    caller=$last
    until apiary task ls 2>/dev/null | grep -q 'running.*gate.pass'; do turn; done
    until_true test -s "$folder/pid"
    queen=$(cat "$folder/pid")
}

order() { echo "$1" >&8; }

# Not even as one that nobody has waited for yet.
ended() { ! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$queen/status"; }

drains() { grep -q draining "$folder/log" || ended; }

sent() { [ "$(cat "$folder/sent")" = "$1" ]; }

# All signals that she was sent are handled: none is pending, and her first thread, which handles them, sleeps.
settled() { ended || [ "$(grep -cE '^(State:\s*S|S(hd|ig)Pnd:\s*0*$)' "/proc/$queen/status")" -eq 3 ]; }

# finishes WHAT: she still has her task, and it ends as it should.
finishes()
{
    until_true settled
    ended && fail "$1 has ended her before her task was done; she said: $(cat "$folder/log")"
    [ "$failures" -eq 0 ] || ends
    echo open >&9
    wait "$caller" || fail "$1: her task failed: $(cat "$folder/result")"
    [ "$(cat "$folder/result")" = open ] || fail "$1: her task's result is: $(cat "$folder/result")"
}

start "$folder/daemon" apiaryd --config "$config"
until_true grep -q created "$folder/daemon"
begin
order term
until_true drains
for i in 2 3 4 5 6; do
    until_true settled
    order term
    until_true sent "$i"
done
order wait
finishes "a later signal of her supervisor"
until_true test -e "$folder/code"
[ "$(cat "$folder/code")" = 0 ] || fail "told by her supervisor she ended with $(cat "$folder/code"); she said: $(cat "$folder/log")"

# Twice at least: for the thread that has started her, and for the one whose child she is then.
begin
order thread
until_true drains
until_true settled
kill -KILL "$supervisor"
until_true gone "$supervisor"
finishes "the second sign of her supervisor's death"
until_true gone "$queen"

# At once: as often as the kernel likes.
for i in 1 2 3; do
    begin
    kill -KILL "$supervisor"
    until_true gone "$supervisor"
    until_true drains
    finishes "her supervisor's death"
    until_true gone "$queen"
done
expect 0 'gated' apiary events --kind swarm-left
[ "$(apiary events --kind swarm-died | grep -c gated)" -eq 0 ] || fail "she has not left in order: $(apiary events --kind swarm-died)"

# Her supervisor had ended before the kernel was asked to tell her.
cat >"$folder/ended.py" <<'END'
import os, socket, sys
ours, hers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
ready, his = os.pipe()
if os.fork() > 0:
    os._exit(0)
os.close(his)
os.read(ready, 1)
os.dup2(hers.detach(), 3)
os.environ["APIARY_KEEP_FDS"] = "3"
os.execvp(sys.argv[1], sys.argv[1:])
END
start "$folder/orphan" python3 "$folder/ended.py" apiary queen gated --config "$config" --changes
until_true grep -q 'segment\|supervisor' "$folder/orphan"
grep -q 'queen gated: its supervisor has ended' "$folder/orphan" || fail "without a supervisor she says: $(cat "$folder/orphan")"

begin
order term
until_true drains
until_true settled # or this one and her supervisor's were one
kill -TERM "$queen"
order wait
until_true test -e "$folder/code"
[ "$(cat "$folder/code")" = -15 ] || fail "a second signal of another process did not end her at once: $(cat "$folder/code")"
ends
