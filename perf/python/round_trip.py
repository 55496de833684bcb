#!/usr/bin/env python3
"""What a call from Python costs, beside JSON over a Unix socket to another process, and beside redis-py where that is here.

round_trip.py [CALLS]: needs a segment (APIARY_SEGMENT) and PYTHONPATH=BUILD/python. It serves a capability from a process of its own.
"""
import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time

import apiary

CALLS = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
BODY = b"x" * 64


def measure(name, call, calls=CALLS):
    for _ in range(calls // 10):
        call()
    times = []
    for _ in range(calls):
        begun = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begun)
    times.sort()
    print(f"{name:44} p50 {times[calls // 2] / 1e3:8.1f} us   p99 {times[calls * 99 // 100] / 1e3:8.1f} us   "
          f"mean {statistics.mean(times) / 1e3:8.1f} us", flush=True)


def child(serve):
    pid = os.fork()
    if pid == 0:
        try:
            serve()
        finally:
            os._exit(0)
    return pid


def serve_agent():
    @apiary.agent("bench.echo")
    def echo(job):
        return job.body

    apiary.Queen("bench_service", echo).serve()


def serve_socket(listener):
    connection, _ = listener.accept()
    stream = connection.makefile("rwb")
    for line in stream:
        request = json.loads(line)
        stream.write(json.dumps({"id": request["id"], "result": request["body"]}).encode() + b"\n")
        stream.flush()


def socket_call(stream):
    stream.write(json.dumps({"id": 1, "body": BODY.decode()}).encode() + b"\n")
    stream.flush()
    return json.loads(stream.readline())["result"]


def provided(segment):
    try:
        return segment.call("bench.echo", BODY) == BODY
    except (apiary.ENOCAP, apiary.ENOPROVIDER):
        return False


async def many(segment, calls):
    begun = time.perf_counter()
    for _ in range(calls // 100):
        await asyncio.gather(*(segment.acall("bench.echo", BODY) for _ in range(100)))
    print(f"{'apiary, asyncio, 100 at once':44} {calls / (time.perf_counter() - begun):8.0f} calls/s", flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(folder, "s"))
        listener.listen()
        children = [child(serve_agent), child(lambda: serve_socket(listener))]
        try:
            with apiary.attach() as segment:
                while not provided(segment):
                    time.sleep(0.01)
                measure("apiary, Python to Python", lambda: segment.call("bench.echo", BODY))
                if len(sys.argv) > 2:
                    measure(f"apiary, Python to {sys.argv[2]}", lambda: segment.call(sys.argv[2], BODY))
                asyncio.run(many(segment, CALLS))
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(os.path.join(folder, "s"))
            stream = connection.makefile("rwb")
            measure("JSON over a Unix socket, Python to Python", lambda: socket_call(stream))
            try:
                import redis
            except ImportError:
                print("redis-py is not here")
            else:
                client = redis.Redis(unix_socket_path=os.environ.get("REDIS_SOCKET", "/run/redis/redis-server.sock"))
                measure("redis-py, one PING", client.ping)
        finally:
            for pid in children:
                os.kill(pid, 15)
                os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
