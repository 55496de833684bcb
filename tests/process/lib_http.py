# lib_http.py PORT [--method M] [--header 'NAME: VALUE'] [--socket PATH] [--body TEXT] PATH...: asks for each path over one connection.
# Printed of each: the status, the headers, an empty line, the body.
import argparse
import http.client
import socket
import sys

p = argparse.ArgumentParser()
p.add_argument("port", type=int)
p.add_argument("paths", nargs="+")
p.add_argument("--method", default="GET")
p.add_argument("--header", action="append", default=[])
p.add_argument("--socket")
p.add_argument("--body")
o = p.parse_args()

c = http.client.HTTPConnection("127.0.0.1", o.port, timeout=600)
if o.socket:
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(o.socket)
headers = dict(h.split(": ", 1) for h in o.header)
for path in o.paths:
    c.request(o.method, path, body=o.body.encode() if o.body else None, headers=headers)
    first = c.sock
    r = c.getresponse()
    body = r.read()
    print(r.status)
    for name, value in r.getheaders():
        print(f"{name}: {value}")
    print(f"kept: {'yes' if c.sock is first else 'no'}\n", flush=True)
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
