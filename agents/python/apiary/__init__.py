"""apiary for Python: ask for a capability by its name, share memory and claims, and serve capabilities of one's own.

    import apiary

    with apiary.attach() as segment:
        print(segment.call("html_escaping", "a < b"))

    @apiary.agent("text.upper", concurrency=4)
    def upper(job):
        return job.body.upper()

    apiary.Queen("text_service", upper).serve()

A body is bytes, any object with a buffer, or a text (UTF-8). The options of a delegation are keyword arguments, named as `apiary delegate`
names them, with an underscore for a hyphen; option_names() tells them all. A number is a number of seconds where the option is a time;
a text is as on the command line. Errors are exceptions of the library's own names, such as apiary.EQUEUEFULL, below ApiaryError.

A segment may be used by all threads. After a fork the child attaches again.
"""
from __future__ import annotations

import asyncio
import os
import sys
import threading
import typing
import weakref

from . import _apiary
from ._apiary import *  # noqa: F403 the exceptions, by the names of the library's table
from ._apiary import ENOKEY, ENOTREADY, ApiaryError, Result, option_names, version

Body = typing.Union[bytes, bytearray, memoryview, str]

__all__ = [name for name in dir(_apiary) if isinstance(getattr(_apiary, name), type) and issubclass(getattr(_apiary, name), Exception)]
__all__ += ["Body", "Cancelled", "Change", "Claim", "Fail", "Job", "Memory", "Provider", "Queen", "Result", "Segment", "Task", "Value",
            "agent", "attach", "option_names", "version"]


def _bytes(body: Body) -> bytes | bytearray | memoryview:
    return body.encode() if isinstance(body, str) else body


class Provider(typing.NamedTuple):
    """One agent that offers a capability."""

    service: str
    instance: str
    agent: str
    pid: int
    in_flight: int
    alive: bool
    provider: int
    """For the option of that name."""


class Value(typing.NamedTuple):
    """A value of the memory."""

    value: bytes
    version: int
    ttl: float | None
    """The seconds that it has left; None: it stays."""


class Change(typing.NamedTuple):
    """What a watch tells: present, synced, put, deleted, expired, or behind."""

    event: str
    key: str
    version: int
    size: int
    revision: int


_NOT_YET = object()


class _Lane:
    """What a loop waits for: one reader for all of it, by the descriptor of the loop's thread. No thread waits.

    The descriptor is its own, so that a loop never has one that the segment has closed. It does not refer to its loop, whose key it is.
    """

    def __init__(self, segment: _apiary.Segment) -> None:
        self.fd = os.dup(segment.lane_fd())
        weakref.finalize(self, os.close, self.fd)
        self.waiting: dict[asyncio.Future[typing.Any], typing.Callable[[], typing.Any]] = {}

    def look(self) -> None:
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            pass
        for future, probe in list(self.waiting.items()):
            if future.done():
                continue
            try:
                value = probe()
            except Exception as why:  # noqa: BLE001 whoever awaits it has it
                future.set_exception(why)
            else:
                if value is not _NOT_YET:
                    future.set_result(value)

    async def until(self, probe: typing.Callable[[], typing.Any]) -> typing.Any:
        value = probe()
        if value is not _NOT_YET:
            return value
        loop = asyncio.get_running_loop()
        if not self.waiting:
            loop.add_reader(self.fd, self.look)
        future = loop.create_future()
        self.waiting[future] = probe
        try:
            return await future
        finally:
            del self.waiting[future]
            if not self.waiting:
                loop.remove_reader(self.fd)

    def end(self) -> None:
        """Its segment is closed: those who wait find it so."""
        os.write(self.fd, (1).to_bytes(8, sys.byteorder))


class Task:
    """A delegated task. wait() and result() are for threads, `await task` is for asyncio. A task that nobody refers to is cancelled."""

    def __init__(self, segment: Segment, task: _apiary.Task) -> None:
        self._segment = segment
        self._task = task
        self._thread = threading.get_ident()

    @property
    def id(self) -> str:
        """As `apiary task show` takes it."""
        return self._task.id

    def wait(self, timeout: float | None = None) -> Result:
        """The result, once, of a task that has failed, too (result.check() raises then). ENOTREADY, a TimeoutError: not in this time.

        Its bytes are read in place: memoryview(result). They stay as long as a view or the result is there.
        """
        return self._task.wait(timeout)

    def result(self, timeout: float | None = None) -> bytes:
        """A copy of the result's bytes; raises if the task has failed."""
        return _taken(self._task.wait(timeout))

    def poll(self) -> Result | None:
        """As wait, without waiting: None while the task goes on."""
        return self._task.poll()

    def cancel(self) -> bool:
        """Takes it back, or tells its agent. Whether there was still a task."""
        return self._task.cancel()

    def progress(self) -> str | None:
        """What its agent has said last of how far it has come."""
        return self._task.progress()

    def parts(self, timeout: float | None = None) -> typing.Iterator[bytes]:
        """The parts of the result, as they come, of a task that was delegated with parts=True; then what follows them, if anything."""
        while (part := self._task.next_part(timeout)) is not None:
            yield part
        if rest := self.result(timeout):
            yield rest

    def _lane(self) -> _Lane:
        if self._thread != threading.get_ident():
            raise RuntimeError("a task is awaited in the thread that has delegated it")
        return self._segment._lane()

    async def _ended(self) -> Result:
        def probe() -> typing.Any:
            result = self._task.poll()
            return _NOT_YET if result is None else result

        try:
            return await self._lane().until(probe)
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    def __await__(self) -> typing.Generator[typing.Any, None, bytes]:
        return _taken((yield from self._ended().__await__()))

    async def aparts(self) -> typing.AsyncIterator[bytes]:
        """As parts, for asyncio."""
        def probe() -> typing.Any:
            try:
                return self._task.next_part(0)
            except ENOTREADY:
                return _NOT_YET

        while (part := await self._lane().until(probe)) is not None:
            yield part
        if rest := await self:
            yield rest


def _taken(result: Result) -> bytes:
    try:
        result.check()
        return bytes(result)
    finally:
        result.release()


class Claim:
    """A key that the thread which has made it holds alone. As a context manager it is released at the end."""

    def __init__(self, segment: _apiary.Segment, key: str, answer: tuple[bool, int, int, int, str]) -> None:
        self._segment, self.key = segment, key
        self.held, self.token, _, self.pid, self.holder = answer

    def renew(self, ttl: float | None) -> None:
        self._segment.claim_renew(self.key, self.token, ttl)

    def check(self) -> bool:
        """Whether the claim holds still."""
        return self._segment.claim_check(self.key, self.token)

    def release(self) -> None:
        """ESTALE: it has gone to another meanwhile."""
        self._segment.claim_release(self.key, self.token)
        self.held = False

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        if self.held:
            self.release()


class Memory:
    """A name space of the segment's memory. A time to live is in seconds; None: for ever."""

    def __init__(self, memory: _apiary.Memory) -> None:
        self._memory = memory

    def get(self, key: str) -> Value | None:
        """None: it is absent."""
        try:
            return Value(*self._memory.get(key))
        except ENOKEY:
            return None

    def __getitem__(self, key: str) -> bytes:
        return self._memory.get(key)[0]

    def __setitem__(self, key: str, value: Body) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def put(self, key: str, value: Body, ttl: float | None = None) -> int:
        """The version that it has made, as all changes."""
        return self._memory.put(key, _bytes(value), ttl)

    def add(self, key: str, value: Body, ttl: float | None = None) -> int:
        """Only where the key is absent (EEXIST)."""
        return self._memory.add(key, _bytes(value), ttl)

    def replace(self, key: str, value: Body, ttl: float | None = None) -> int:
        """Only where the key is there (ENOKEY)."""
        return self._memory.replace(key, _bytes(value), ttl)

    def cas(self, key: str, value: Body, version: int, ttl: float | None = None) -> int:
        """Only where the value has this version (ECHANGED, ENOKEY)."""
        return self._memory.cas(key, _bytes(value), ttl, version)

    def delete(self, key: str) -> None:
        self._memory.delete(key)

    def incr(self, key: str, by: int = 1) -> int:
        return self._memory.incr(key, by)

    def touch(self, key: str, ttl: float | None) -> None:
        self._memory.touch(key, ttl)

    def scan(self, prefix: str = "") -> list[str]:
        return self._memory.scan(prefix)

    def watch(self, prefix: str = "", revision: int = 0, timeout: float | None = None) -> typing.Iterator[Change]:
        """The keys as they are, `synced`, then each change; ends when none has come for `timeout`."""
        watch = self._memory.watch(prefix, revision)
        while (change := watch.next(timeout)) is not None:
            yield Change(*change)


class Segment:
    """An attached segment. As a context manager it is closed at the end; what still waits then is interrupted."""

    def __init__(self, segment: str | None = None, *, name: str | None = None, swarm: str | None = None, read_only: bool = False,
                 _queen: bool = False) -> None:
        self._segment = _apiary.Segment(segment, name, swarm, read_only, _queen)
        self._lanes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = weakref.WeakKeyDictionary()

    def call(self, capability: str, body: Body = b"", **options: typing.Any) -> bytes:
        """Delegates and waits for the result. Ctrl-C cancels the task."""
        return self._segment.call(capability, _bytes(body), options)

    def delegate(self, capability: str, body: Body = b"", *, detach: bool = False, parts: bool = False, no_fallback: bool = False,
                 no_hedge: bool = False, **options: typing.Any) -> Task:
        """Never waits. detach: fire and forget; parts: parts of the result are wanted as they come."""
        flags = (detach and _apiary.DETACH) | (parts and _apiary.PARTS) | (no_fallback and _apiary.NO_FALLBACK)
        flags |= no_hedge and _apiary.NO_HEDGE
        return Task(self, self._segment.delegate(capability, _bytes(body), options, flags))

    async def acall(self, capability: str, body: Body = b"", **options: typing.Any) -> bytes:
        """As call, for asyncio. No thread waits; when it is cancelled, so is the task."""
        return await self.delegate(capability, body, **options)

    def discover(self, capability: str) -> list[Provider]:
        return [Provider(**row) for row in self._segment.discover(capability)]

    def claim(self, key: str, ttl: float | None = None, *, policy: str = "fail", timeout: float | None = None,
              stays: bool = False) -> Claim:
        """policy: fail, wait, use-existing (the claim has held False then), steal-if-expired. EHELD: another has it."""
        return Claim(self._segment, key, self._segment.claim(key, ttl, policy.replace("_", "-"), timeout, stays))

    def memory(self, name: str, *, local: bool = False) -> Memory:
        """local: the memory that the agents of the service of that name have in common."""
        return Memory(self._segment.memory(name, local))

    def interrupt(self) -> None:
        """Ends waits in other threads (EINTERRUPTED)."""
        self._segment.interrupt()

    def close(self) -> None:
        self._segment.close()
        for lane in list(self._lanes.values()):
            lane.end()

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            lane = self._lanes[loop] = _Lane(self._segment)
        return lane


from ._serve import Cancelled, Fail, Job, Queen, agent  # noqa: E402 it needs what is above


def attach(segment: str | None = None, *, name: str | None = None, swarm: str | None = None, read_only: bool = False) -> Segment:
    """segment None: $APIARY_SEGMENT, else /apiary. swarm: the service for which this process calls."""
    return Segment(segment, name=name, swarm=swarm, read_only=read_only)
