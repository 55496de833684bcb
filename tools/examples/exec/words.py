#!/usr/bin/env python3
"""An agent in Python that stays: exec with `persistent`, apiary-exec(7). Nothing but the standard library.

With the path of a Unix socket as its argument it serves connections instead: exec with `socket`, for a program that starts by itself.
"""
import json
import os
import socket
import sys
import threading


class Conversation:
    def __init__(self, source, sink):
        self.source, self.sink = source, sink

    def read(self):
        """The next message as (head, body); None at the end."""
        line = self.source.readline()
        if not line:
            return None
        head_size, body_size = map(int, line.split())
        return json.loads(self.source.read(head_size)), self.source.read(body_size)

    def write(self, head, body=b""):
        text = json.dumps(head).encode()
        self.sink.write(b"%d %d\n%s%s" % (len(text), len(body), text, body))
        self.sink.flush()

    def serve(self, handlers):
        while (message := self.read()) is not None:
            head, body = message
            if head["type"] == "hello":
                self.write({"type": "hello", "protocol": 1})
            elif head["type"] == "task":
                self.run(handlers, head, body)
            # A cancel that comes between two tasks is of one that has its answer.

    def run(self, handlers, task, body):
        try:
            result = handlers[task["capability"].split("@")[0]](self, task, body)
            self.write({"type": "result", "id": task["id"]}, result)
        except Exception as why:  # whatever a handler raises is the reason of a failure, and not the end of the process
            text = f"{type(why).__name__}: {why}"
            self.write({"type": "fail", "id": task["id"], "code": 1}, text.encode())


def upper(_, task, body):
    return body.upper()


def words(talk, task, body):
    """Each word is a part of the result, told before the next one is looked for."""
    found = body.split()
    for done, word in enumerate(found, 1):
        talk.write({"type": "part", "id": task["id"]}, word + b"\n")
        talk.write({"type": "beat", "id": task["id"]}, b"%d of %d words" % (done, len(found)))
    return b""


def refuse(talk, task, body):
    talk.write({"type": "log", "level": 4}, b"a task is refused")
    raise ValueError(body.decode(errors="replace"))


HANDLERS = {"upper": upper, "words": words, "refuse": refuse}


def connected(connection):
    with connection, connection.makefile("rwb") as stream:
        Conversation(stream, stream).serve(HANDLERS)


def listen(path):
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            threading.Thread(target=connected, args=(server.accept()[0],), daemon=True).start()


if len(sys.argv) > 1:
    listen(sys.argv[1])
else:
    Conversation(sys.stdin.buffer, sys.stdout.buffer).serve(HANDLERS)
