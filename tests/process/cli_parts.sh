#!/bin/bash
# Parts of a result on the command line, with real processes: printed as they come, by "exec" and by "http", while the reader is slow,
# after the writer's death, and after the reader's.
# ctest: not thread
# ctest: not address
. "$APIARY_SOURCE/tests/process/lib_cli.sh" || exit 1
dir=$folder segment=$APIARY_SEGMENT
[ -d "$dir" ] || exit 1

# Counts up to its request; after each number a file of that name must be there, unless there is a file "go".
cat >"$dir/count" <<END
#!/bin/bash
read -r most
for ((i = 1; i <= most; i++)); do
    echo "number \$i"
    until [ -e "$dir/go" ] || [ -e "$dir/\$i" ]; do read -rt 0.05 <> <(:); done
done
printf end
END
# As one that speaks HTTP and answers in events.
cat >"$dir/serve.py" <<'END'
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        most = int(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(1, most + 1):
            event = b"data: %d\n\n" % i
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as f:
    f.write("%d\n" % server.server_port)
server.serve_forever()
END
chmod +x "$dir/count"
python3 "$dir/serve.py" "$dir/port" &
until [ -s "$dir/port" ]; do turn; done
cat >"$dir/c.yaml" <<END
meta_registry: {segment: $segment}
swarms:
  - service: s
    workers: 2
    agents:
      - {name: count, worker: 0, kind: exec, capabilities: [{name: count, parts_window: 1KiB}], config: {command: [$dir/count], parts: lines, timeout: 20m}}
      - {name: events, worker: 1, kind: http, capabilities: [events], config: {port: $(cat "$dir/port"), parts: events, max_output: 8MiB}}
END
"$APIARY_BIN/apiaryd" -c "$dir/c.yaml" 2>"$dir/log" &
until [ -e "/dev/shm$segment" ]; do turn; done
queen() { "$APIARY_BIN/apiary" queen s -c "$dir/c.yaml" 2>>"$dir/log" & queen=$!; }
passing() { apiary status s --json | tr -d ' \n' | grep -q '"state":"passing"'; }
queen
until_true passing
expect 0 '^parts_window +1(024|KiB) +yes' apiary capability show count

# Each line is printed before the next one is written.
apiary delegate count 3 --parts --timeout 20m >"$dir/out" & reader=$!
printed() { [ "$(cat "$dir/out")" = "$1" ]; }
until_true printed 'number 1'
touch "$dir/1"
until_true printed $'number 1\nnumber 2'
touch "$dir/2"
until_true printed $'number 1\nnumber 2\nnumber 3'
touch "$dir/3"
wait $reader || fail "the reader: $?"
printed $'number 1\nnumber 2\nnumber 3\nend' || fail "$(cat "$dir/out")"

# As JSON: a line for each part, then the end. Who does not ask has one result.
touch "$dir/go"
apiary delegate count 50 --parts --json --timeout 20m >"$dir/out" || fail "$?"
python3 - "$dir/out" <<'END' || fail "$(cat "$dir/out")"
import json, sys
text = open(sys.argv[1]).read()
parts = [json.loads(l) for l in text.split("\n") if l.startswith("{") and "part_of" in l]
end = json.loads(text[text.index("{\n"):])
whole = "".join(p["data"] for p in parts) + end["data"]
assert whole == "".join("number %d\n" % i for i in range(1, 51)) + "end", whole
assert [p["number"] for p in parts] == list(range(len(parts))) and len(parts) == end["parts"]
assert all(p["attempt"] == 1 and p["part_of"] == end["task"] and p["size"] == len(p["data"]) for p in parts)
END
numbers() { for ((i = 1; i <= $1; i++)); do echo "number $i"; done; printf end; }
[ "$(apiary delegate count 50 --timeout 20m)" = "$(numbers 50)" ] || fail "without --parts it is another result"
[ "$(apiary delegate events 2000 --parts --timeout 20m | grep -c '^data: ')" -eq 2000 ] || fail "events"
[ "$(apiary delegate events 2000 --timeout 20m | grep -c '^data: ')" -eq 2000 ] || fail "events, whole"
expect 64 'nobody would read them' apiary delegate count 3 --parts --detach

# A reader that does not go on: its program stops, and nobody else. What it takes in the end is all there.
mkfifo "$dir/slow"
apiary delegate count 20000 --parts --timeout 20m >"$dir/slow" & reader=$!
exec 7<"$dir/slow"
found()
{
    id=$(apiary task ls --json | python3 -c '
import json, sys
print([t["task"] for t in json.load(sys.stdin)["tasks"] if t["capability"] == "count" and t["state"] == "running"][0])')
}
until_true found
waits() { apiary task show "$id" | grep -q 'its agent waits for the reader'; }
until_true waits
expect 0 '^parts +[0-9]+ sent, [0-9]+ read, by attempt 1' apiary task show "$id"
apiary task show "$id" --json | tr -d ' \n' |
    grep -qE '"parts":\{"attempt":1,"sent":[0-9]+,"read":[0-9]+,"bytes":[0-9]+,"window":1024,"waiting":true\}' ||
    fail "$(apiary task show "$id" --json)"
shmdump "$segment" --json --tasks | tr -d ' \n' | grep -qE '"parts":\{"sent":[0-9]+,"waits":[1-9][0-9]*,"tasks":\[\{' ||
    fail "shmdump says nothing of the parts"
[ "$(apiary delegate count 2 --timeout 20m)" = "$(numbers 2)" ] || fail "another task of the same agent waits for that reader"
[ "$(cat <&7 | grep -c '^number ')" -eq 20000 ] || fail "parts are lost"
exec 7<&-
wait $reader || fail "the slow reader: $?"

# The writer dies: the next attempt begins anew, and the reader is told.
rm "$dir/go" "$dir/1" "$dir/2"
apiary delegate count 2 --parts --timeout 20m >"$dir/out" 2>"$dir/err" & reader=$!
until_true printed 'number 1'
kill -KILL $queen
wait $queen 2>/dev/null
queen
until_true printed $'number 1\nnumber 1'
touch "$dir/go"
wait $reader || fail "after the writer's death: $?"
printed $'number 1\nnumber 1\nnumber 2\nend' || fail "$(cat "$dir/out")"
grep -q 'attempt 2 begins anew; what was printed before it is void' "$dir/err" || fail "$(cat "$dir/err")"

# The reader dies: the task goes on without it, and everything comes back.
rm "$dir/go"
apiary delegate count 30000 --parts --timeout 20m >"$dir/out" & reader=$!
until_true printed 'number 1'
kill -KILL $reader
wait $reader 2>/dev/null
touch "$dir/go"
nothing_left()
{
    shmdump "$segment" --json --tasks | python3 -c '
import json, sys
d = json.load(sys.stdin)
sys.exit(d["tasks"]["slots"] != [] or d["parts"]["tasks"] != [])'
}
until_true nothing_left
expect 0 '' shmdump "$segment" --verify
ends
