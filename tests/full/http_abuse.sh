#!/bin/bash
# Those who delegate beside an HTTP server that is abused: the same burst of tasks, with the abuse and without it, in pairs. The abuse
# is what holds a server up, and not what fills a processor, which costs all processes of a machine alike: a thousand connections that say
# nothing or half of something, readers that take nothing, and four hundred requests a second, malformed, of other pages, or with a
# wrong token. Prints the ratio of the times, and its quartiles.
# ctest: serial
# ctest: timeout 600
set -u
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
. "$APIARY_SOURCE/tests/process/lib_http.sh" || exit 1
cat >"$config" <<END
meta_registry: {members: 32, lanes: 64, tasks: 4096}
swarms:
  - service: echo_service
    agents: [{name: echo, plugin: $APIARY_BUILD/examples/echo_agent.so, capabilities: [echo], config: {greeting: ""}}]
END
ulimit -n 4096 2>/dev/null
start "$folder/daemon" apiaryd --config "$config" --listen 127.0.0.1:0
daemon=$last
served "$folder/daemon"
start "$folder/queen" apiary queen echo_service --config "$config"
until_true apiary check

# It abuses while the file `abuse` is there, and says in `abused` whether it does, with how many requests so far.
cat >"$folder/abuse.py" <<'END'
import os, random, socket, sys, time
port, folder = int(sys.argv[1]), sys.argv[2]
BAD = [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: evil.org\r\n\r\n", b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
       b"POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nAuthorization: Bearer 0\r\n\r\n{}",
       b"POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.org\r\nContent-Length: 2\r\n\r\n{}"]
def connect(small=False):
    s = socket.socket()
    if small:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    s.connect(("127.0.0.1", port))
    return s
def say(what):
    with open(folder + "/abused.new", "w") as f:
        f.write(what)
    os.replace(folder + "/abused.new", folder + "/abused")
def send(s, text):
    try:
        s.sendall(text)
    except OSError:
        pass
n = 0
while True:
    crowd = []
    while os.path.exists(folder + "/abuse"):
        if not crowd:
            for i in range(1000):
                s = connect(i % 10 == 0)
                send(s, b"GET /d3.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n" if i % 10 == 0 else b"GET /livez HTTP/1.1\r\nHo" if i % 2 else b"")
                crowd.append(s)
        with connect() as s:
            send(s, random.choice(BAD))
        n += 1
        if n % 8 == 0:
            i = random.randrange(1000)
            crowd[i].close()
            crowd[i] = connect()
        say(f"on {n}")
        time.sleep(0.0025)  # LINT: the pace of the abuse, four hundred requests a second
    for s in crowd:
        s.close()
    say(f"off {n}")
    time.sleep(0.01)  # LINT: between two looks whether it is to go on
END
start "$folder/abuser" python3 "$folder/abuse.py" "$port" "$folder"
abuser=$last
burst_is() # burst_is on|off: ns of a task
{
    if [ "$1" = on ]; then : >"$folder/abuse"; else rm -f "$folder/abuse"; fi
    until_true grep -q "^$1" "$folder/abused"
    "$APIARY_TEST_BIN/burst" --segment "$APIARY_SEGMENT" --capability echo --count "${ABUSE_TASKS:-100000}" --window 16 |
        sed -n 's/^[0-9]* tasks, \([0-9.]*\) ns each$/\1/p'
}
burst_is off >/dev/null
for i in $(seq "${ABUSE_PAIRS:-20}"); do
    if ((i % 2)); then with=$(burst_is on) without=$(burst_is off); else without=$(burst_is off) with=$(burst_is on); fi
    [ -n "$with" ] && [ -n "$without" ] || fail 'a burst has failed'
    echo "$with $without"
    expect 0 '^200$' ask /v1/status
done >"$folder/pairs"
python3 - "$folder/pairs" <<'END'
import statistics, sys
pairs = [tuple(map(float, line.split())) for line in open(sys.argv[1])]
low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4)
print(f"{len(pairs)} pairs: {statistics.median(b for _, b in pairs):.0f} ns a task without the abuse; with it {middle:.2f} of that ({low:.2f} to {high:.2f})")
END
echo "requests: $(cat "$folder/abused")"
gone "$daemon" && fail "the daemon is gone: $(tail -3 "$folder/daemon")"
kill "$abuser"
kill -TERM "$daemon"
wait "$daemon" || fail "the daemon left with $?"
ends
