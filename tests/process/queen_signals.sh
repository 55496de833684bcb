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
mkfifo "$folder/gate"
exec 9<>"$folder/gate" # nobody who opens it for writing waits

# A supervisor: its queen has one end of a socket as descriptor 3. It tells her to leave when there is a file "first", and again and
# again when she has said that she does; how she ended is in the file "code".
cat >"$folder/supervisor.py" <<'END'
import fcntl, os, signal, socket, subprocess, sys, time
folder, command = sys.argv[1], sys.argv[2:]
ours, hers = (fcntl.fcntl(s.detach(), fcntl.F_DUPFD_CLOEXEC, 10) for s in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
os.dup2(hers, 3)
os.close(hers)
with open(folder + "/log", "w") as log:
    queen = subprocess.Popen(command, pass_fds=(3,), stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ, APIARY_KEEP_FDS="3"))
with open(folder + "/pid.new", "w") as f:
    f.write("%d\n" % queen.pid)
os.rename(folder + "/pid.new", folder + "/pid")
while not os.path.exists(folder + "/first"):
    time.sleep(0.02)
queen.send_signal(signal.SIGTERM)
while "draining" not in open(folder + "/log").read() and queen.poll() is None:
    time.sleep(0.02)
for i in range(5):
    time.sleep(0.02)
    if queen.poll() is None:
        queen.send_signal(signal.SIGTERM)
open(folder + "/more", "w").close()
code = queen.wait()
with open(folder + "/code.new", "w") as f:
    f.write("%d\n" % code)
os.rename(folder + "/code.new", folder + "/code")
END

begin() # begin: a supervisor with its queen, and a task that runs
{
    rm -f "$folder/pid" "$folder/first" "$folder/more" "$folder/code"
    start "$folder/supervisor" python3 "$folder/supervisor.py" "$folder" apiary queen gated --config "$config" --drain 10m --changes
    until_true apiary wait gated --timeout 1s
    start "$folder/result" apiary delegate gate.pass x --timeout 10m
    caller=$last
    until apiary task ls 2>/dev/null | grep -q 'running.*gate.pass'; do turn; done
    : >"$folder/first"
    until_true test -e "$folder/more"
}

start "$folder/daemon" apiaryd --config "$config"
until_true grep -q created "$folder/daemon"
begin
echo open >&9
until_true test -e "$folder/code"
[ "$(cat "$folder/code")" = 0 ] || fail "the supervisor's later signals ended her: $(cat "$folder/code"); she said: $(cat "$folder/log")"
[ "$failures" -eq 0 ] || ends
wait "$caller" || fail "her task failed: $(cat "$folder/result")"
[ "$(cat "$folder/result")" = open ] || fail "her task's result is: $(cat "$folder/result")"

begin
none_pending() { grep -q '^ShdPnd:[[:space:]]*0*$' "/proc/$(cat "$folder/pid")/status"; }
until_true none_pending # or this one and her supervisor's last one were one
kill -TERM "$(cat "$folder/pid")"
until_true test -e "$folder/code"
[ "$(cat "$folder/code")" = -15 ] || fail "a second signal of another process did not end her at once: $(cat "$folder/code")"
ends
