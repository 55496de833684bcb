# lib_http_abuse.py PORT TOKEN: connections that say nothing, half of something, or too much, read slowly or not at all, 1,000 of them. After each
# kind a well-meant request is answered. Prints what was found wrong; exit code 1 then.
import http.client
import os
import random
import socket
import sys

port, token = int(sys.argv[1]), sys.argv[2]
wrong = []
random.seed(int(os.environ.get("SEED", "1")))


def connect():
    s = socket.create_connection(("127.0.0.1", port), timeout=600)
    return s


def good(when):
    """One request on a connection of its own. It may be among those that make room, and then asks again."""
    for _ in range(50):
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
            c.request("GET", "/livez")
            r = c.getresponse()
            if (r.status, r.read()) != (200, b"ok\n"):
                continue
            c.request("GET", "/v1/status")
            r = c.getresponse()
            if r.status == 200 and b'"swarms"' in r.read():
                return
        except (ConnectionError, http.client.HTTPException):
            continue
    wrong.append(f"{when}: /livez and /v1/status were not answered")


def ends(s):
    """All that comes until the other side ends it."""
    got = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return got
            got += more
    except ConnectionError:
        return got


# What is no HTTP: refused or ended, never answered well.
for text in [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00\x01\x02\xff\r\n\r\n", b"GET /livez HTTP/1.1\r\n\r\n",
             b"GET /livez HTTP/1.1\r\nHost: evil.org\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
             b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
             b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
             b"GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
             b"GET http://evil.org/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"CONNECT evil.org:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
             b"GET /" + b"a" * 100000, b"GET /livez HTTP/1.1\r\nX: " + b"a" * 100000,
             b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 20000 + b"\r\n", b"GET /livez?" + b"a=b&" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"]:
    with connect() as s:
        try:
            s.sendall(text)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = ends(s)
        if got.startswith(b"HTTP/1.1 200"):
            wrong.append(f"{text[:60]!r} was answered: {got[:60]!r}")
    good(repr(text[:40]))

# Bytes at random, some of which begin well.
for i in range(300):
    with connect() as s:
        text = bytearray(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
        for _ in range(random.randrange(1, 8)):
            text[random.randrange(len(text))] = random.randrange(256)
        try:
            s.sendall(bytes(text[:random.randrange(1, len(text) + 1)]))
        except OSError:
            pass
good("random bytes")

# A thousand that say nothing, and a thousand that say half of it.
for what in [b"", b"GET /livez HTTP/1.1\r\nHo"]:
    crowd = []
    for i in range(1000):
        s = connect()
        if what:
            try:
                s.sendall(what)
            except OSError:
                pass
        crowd.append(s)
        if i % 100 == 99:
            good(f"{i + 1} connections that said {what!r}")
    for s in crowd:
        s.close()
    good("after them")

# Readers that take nothing of large answers, more of them than there is room for.
crowd = []
for i in range(200):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.settimeout(600)
    s.connect(("127.0.0.1", port))
    try:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
    except OSError:
        pass
    crowd.append(s)
good("readers that take nothing")
for s in crowd[-8:]: # a byte at a time
    for _ in range(20):
        try:
            s.recv(1)
        except OSError:
            break
good("slow readers")
for s in crowd:
    s.close()

# A window as small as the system gives, and nothing is read for long: the page's largest file, which many ask for again and again.
crowd = []
for i in range(100):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, 1)
    s.settimeout(600)
    s.connect(("127.0.0.1", port))
    s.sendall(b"GET /d3.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
    crowd.append(s)
    if i % 20 == 19:
        good(f"{i + 1} readers with the smallest window")
for s in crowd[-4:]:
    for _ in range(50):
        try:
            s.recv(1)
        except OSError:
            break
good("readers with the smallest window")
for s in crowd:
    s.close()


# Who has no token, or a wrong one, and pages of other origins, with bodies of all kinds: nothing is changed, and nothing is held up.
def change(headers, body, path="/v1/drain"):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
    with connect() as s:
        try:
            s.sendall(head.encode() + body)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return ends(s)[:12]


asked = b'{"service": "echo_service", "reason": "none"}'
plain = {"Content-Type": "application/json", "Content-Length": len(asked)}
right = {**plain, "Authorization": "Bearer " + token}
for i in range(300):
    got = change({**plain, "Authorization": "Bearer " + "".join(random.choice("0123456789abcdef") for _ in range(64))}, asked)
    if got != b"HTTP/1.1 401":
        wrong.append(f"a wrong token: {got}")
for origin in ["http://evil.org", "null", f"http://localhost:{port}.evil.org", f"https://localhost:{port}"]:
    if (got := change({**right, "Origin": origin}, asked)) != b"HTTP/1.1 403":
        wrong.append(f"{origin}: {got}")
for site in ["cross-site", "same-site", ""]:
    if (got := change({**right, "Sec-Fetch-Site": site}, asked)) != b"HTTP/1.1 403":
        wrong.append(f"{site}: {got}")
for length in ["70000", "99999999999", "-1", "1e3"]:
    got = change({**right, "Content-Length": length}, b"x" * 100000)
    if not got.startswith(b"HTTP/1.1 4") and got != b"":
        wrong.append(f"a body of {length} bytes: {got}")
endless = {k: v for k, v in right.items() if k != "Content-Length"}
if b"200" in change({**endless, "Transfer-Encoding": "chunked"}, b"10000\r\n" + b"x" * 65536 + b"\r\n10000\r\n" + b"x" * 65536 + b"\r\n"):
    wrong.append("a body without an end is answered well")
for body in [b"[" * 60000, b'{"a":' * 12000, b'"' + b"\\u0000" * 10000 + b'"', os.urandom(5000)]:
    if (got := change({**right, "Content-Length": len(body)}, body)) != b"HTTP/1.1 400":
        wrong.append(f"{body[:8]!r}: {got}")
good("changes that are none")
crowd = []
for i in range(200):  # half of a body, by whom the token is known
    s = connect()
    head = f"POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\nAuthorization: Bearer {token}\r\n\r\n"
    try:
        s.sendall(head.encode() + b"x" * 30000)
    except OSError:
        pass
    crowd.append(s)
good("half of a body")
for s in crowd:
    s.close()

# Ended in the midst of an answer, by a reset.
for i in range(200):
    with connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
good("resets")

print("\n".join(wrong))
sys.exit(1 if wrong else 0)
