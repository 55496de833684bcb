"""Answers with the request: apiary-exec(7). Not a test; tests/process/python.sh runs it as an agent."""
import json
import sys

source, sink = sys.stdin.buffer, sys.stdout.buffer


def write(head, body=b""):
    text = json.dumps(head).encode()
    sink.write(b"%d %d\n%s%s" % (len(text), len(body), text, body))
    sink.flush()


while line := source.readline():
    head_size, body_size = map(int, line.split())
    head, body = json.loads(source.read(head_size)), source.read(body_size)
    if head["type"] == "hello":
        write({"type": "hello", "protocol": 1})
    elif head["type"] == "task":
        write({"type": "result", "id": head["id"]}, body)
