# lib_wide.py PORT PID ROUNDS PATH...: asks the coordinator for each path so often. Printed of each: milliseconds of its processor
# time for one answer (the least of the rounds), and the answer's size in bytes. The last line is the sum.
import http.client
import sys
import time

port, pid, rounds, paths = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]


def processor():  # clock_getcpuclockid(3) of the process, whose other threads do next to nothing
    return time.clock_gettime_ns(~pid << 3 | 2)


c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
total, whole = 0, 0
for path in paths:
    least, size = None, 0
    for _ in range(rounds):
        before = processor()
        c.request("GET", path)
        r = c.getresponse()
        size = len(r.read())
        c.request("GET", "/livez")  # when this is answered, that has been sent
        c.getresponse().read()
        took = processor() - before
        least = took if least is None else min(least, took)
        if r.status not in (200, 503):
            sys.exit(f"{path}: {r.status}")
    print(f"{path} {least / 1e6:.2f} {size}", flush=True)
    total, whole = total + least, whole + size
print(f"all {total / 1e6:.2f} {whole}")
