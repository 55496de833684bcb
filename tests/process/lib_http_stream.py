# lib_http_stream.py PORT [LAST]: prints what /v1/stream tells, a line for each message: its kind, its id if it has one, its data; of a
# comment "comment" and the text. LAST: the number behind which it goes on. "status N" where it is refused.
import http.client
import sys

c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=600)
c.request("GET", "/v1/stream", headers={"Last-Event-ID": sys.argv[2]} if sys.argv[2:] and sys.argv[2] else {})
r = c.getresponse()
if r.status != 200:
    print("status", r.status, flush=True)
    sys.exit(1)
kind, told = "message", []
while line := r.readline().decode():
    name, _, value = line.rstrip("\n").partition(": ")
    if line == "\n":
        if told:
            print(kind, *told, flush=True)
        kind, told = "message", []
    elif name == "":
        print("comment", value, flush=True)
    elif name == "event":
        kind = value
    else:
        told.append(value)
