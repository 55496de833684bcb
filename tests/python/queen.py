"""A queen in Python with handlers of each manner. Not a test; test_queen.py and tests/process/python.sh run it."""
import asyncio
import logging
import os
import sys
import time

import apiary


@apiary.agent("py.upper", "py.upper2", concurrency=4)
def upper(job):
    return job.body.upper()


@apiary.agent("py.raise")
def raises(job):
    raise ValueError(job.body.decode())


@apiary.agent("py.fail")
def fails(job):
    raise apiary.Fail("no such thing", 404, retry=False)


@apiary.agent("py.stale")
def stale(job):
    raise apiary.ESTALE("a claim of its own")


kept = []


@apiary.agent("py.keep")
def keep(job):
    kept.append(job.view())


@apiary.agent("py.kept")
def let_go(job):
    return kept.pop()


@apiary.agent("py.exit")
def exits(job):
    sys.exit(3)


@apiary.agent("py.parts")
def parts(job):
    for word in job.body.split():
        yield word


@apiary.agent("py.flood")
def flood(job):
    for n in range(100_000):
        job.part(b"%d " % n)


@apiary.agent("py.coroutine", concurrency=2)
async def coroutine(job):
    await asyncio.sleep(0)
    return "of a coroutine"


@apiary.agent("py.hang")
def hang(job):
    for n in range(10**9):
        job.check(f"turn {n}")
        time.sleep(0.01)


@apiary.agent("py.view")
def view(job):
    with job.view() as whole:
        return str(sum(whole))


@apiary.agent("py.echo")
def echo(job):
    return job.view()


@apiary.agent("py.facts")
def facts(job):
    left = job.time_left()
    return f"{job.capability} {job.caller} {job.attempt} {0 < left <= 20} {os.getpid()}"


@apiary.agent("py.asks")
def asks(job):
    return job.call("py.upper", job.body)


def main():
    logging.basicConfig(level=logging.INFO)
    agents = (upper, raises, fails, stale, keep, let_go, exits, parts, flood, coroutine, hang, view, echo, facts, asks)
    apiary.Queen(sys.argv[1], *agents, instance=sys.argv[2], workers=2).serve()


if __name__ == "__main__":
    main()
