"""Agents and queens in Python. See apiary.agent and apiary.Queen."""
from __future__ import annotations

import atexit
import asyncio
import contextlib
import inspect
import logging
import signal
import threading
import time
import types
import typing
import weakref

from . import _apiary
from ._apiary import ECANCELLED, ESTALE, ETIMEDOUT, ApiaryError

if typing.TYPE_CHECKING:
    from . import Body, Segment

log = logging.getLogger("apiary")
_LEVELS = {2: logging.CRITICAL, 3: logging.ERROR, 4: logging.WARNING, 7: logging.DEBUG}


class Fail(Exception):
    """Raised by a handler: fails the task with this text and number (1; 400 to 499: the request is wrong, and the agent is not).

    retry False: trying again makes no sense; after: the seconds until it does.
    """

    def __init__(self, text: str, code: int = 1, *, retry: bool = True, after: float | None = None) -> None:
        super().__init__(text)
        self.code, self.retry, self.after = code, retry, after


class Cancelled(Exception):
    """Raised by Job.check: the task is to stop."""


class Job:
    """A task in the hands of a handler. All of it may be used by any thread."""

    def __init__(self, queen: Queen, job: _apiary.Job) -> None:
        self._queen, self._job = queen, job

    @property
    def body(self) -> bytes:
        """A copy of the request."""
        with memoryview(self._job) as view:
            return bytes(view)

    def view(self) -> memoryview:
        """The request in place. The view is to be released before the handler ends, and ends with it."""
        return memoryview(self._job)

    @property
    def capability(self) -> str:
        return self._job.capability

    @property
    def caller(self) -> str:
        """The calling service, or ""."""
        return self._job.caller

    @property
    def attempt(self) -> int:
        """1, or more after the deaths and failures of earlier ones."""
        return self._job.attempt

    @property
    def deadline(self) -> float | None:
        """As time.monotonic() has it; None: never."""
        return self._job.deadline

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more, or its time is over."""
        return self._job.cancelled

    @property
    def traceparent(self) -> str:
        return self._job.traceparent

    def time_left(self) -> float | None:
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def beat(self, text: str = "") -> bool:
        """It is at work, and has come so far (88 bytes). Whether it is to stop."""
        return self._job.beat(text)

    def check(self, text: str = "") -> None:
        """A beat that raises Cancelled where the task is to stop."""
        if self.beat(text):
            raise Cancelled("the task was cancelled, or its time is over")

    def part(self, data: Body) -> None:
        """Sends a part of the result ahead of its end, and waits while the reader is behind (ECANCELLED: it will not read it)."""
        self._job.part(data.encode() if isinstance(data, str) else data)

    def call(self, capability: str, body: Body = b"", **options: typing.Any) -> bytes:
        """Segment.call for the sake of this task: in the time that it has left, and in its trace."""
        left = self.time_left()
        if left is not None:
            options.setdefault("timeout", left)
        if self.traceparent:
            options.setdefault("traceparent", self.traceparent)
        return self._queen.segment.call(capability, body, **options)


Handler = typing.Callable[[Job], typing.Any]


def agent(*capabilities: str, name: str | None = None, concurrency: int = 1,
          terms: str | None = None) -> typing.Callable[[Handler], Handler]:
    """Makes a function an agent that serves these capabilities, by default one of the function's name.

    It is given a Job. What it returns is the result: bytes, a text, or None for an empty one. What it raises fails the attempt, with the
    reason, and not its queen. A generator's values are parts of the result; a coroutine runs in a loop of its own. `concurrency` of them
    run at a time, in threads; the rest stays in the agent's queue. terms: YAML, as apiary_agent_description_t has it.
    """
    def make(function: Handler) -> Handler:
        function.apiary_agent = (name or function.__name__, capabilities or (function.__name__,), concurrency, terms)  # type: ignore
        return function

    return make


class Queen:
    """A registered instance of a service, with agents in this process. As a context manager it is stopped at the end."""

    def __init__(self, service: str, *handlers: Handler, segment: str | None = None, instance: str | None = None, version: str = "1",
                 workers: int = 1, max_delegations: int = 0, port: int = 0, tags: str | None = None) -> None:
        from . import Segment

        agents = tuple(handler.apiary_agent for handler in handlers)  # type: ignore[attr-defined]
        self.service, self._handlers = service, handlers
        self.segment: Segment = Segment(segment, name=service, swarm=service, _queen=True)
        self._stopped = False
        try:
            self._queen = _apiary.Queen(self.segment._segment, service, agents, instance, version, workers, max_delegations, port, tags)
        except BaseException:
            self.segment.close()
            raise
        threads = sum(concurrency for _, _, concurrency, _ in agents)
        self._threads = [threading.Thread(target=self._work, name=f"{service}-{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()
        _queens.add(self)

    def _work(self) -> None:
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            while True:
                item = self._queen.next()
                if isinstance(item, tuple):
                    log.log(_LEVELS.get(item[0], logging.INFO), "%s", item[1])
                elif item is not None:
                    self._run(item, loop)
                elif self._stopped:
                    return
                item = None

    def _run(self, task: _apiary.Job, loop: asyncio.AbstractEventLoop) -> None:
        job = Job(self, task)
        try:
            answer = self._handlers[task.agent](job)
            if inspect.iscoroutine(answer):
                answer = loop.run_until_complete(answer)
            if isinstance(answer, types.GeneratorType):
                for part in answer:
                    job.part(part)
                answer = None
            answer = _answer(answer)
            with contextlib.suppress(ESTALE):  # it has its end already, and the log says so
                task.reply(answer)
        except BaseException as why:  # noqa: BLE001 SystemExit, too: one task does not end a queen
            _failed(task, why)

    def stop(self, timeout: float | None = None) -> None:
        """Takes no new tasks, finishes those in hand, and leaves. ETIMEDOUT: a handler has still not returned; call it again, or exit."""
        self._queen.stop(timeout)
        self._stopped = True
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(1)
        _queens.discard(self)
        self.segment.close()

    def serve(self) -> None:
        """Serves until SIGTERM or SIGINT, then stops. In the main thread."""
        end = threading.Event()
        before = {number: signal.signal(number, lambda *_: end.set()) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            end.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.stop()

    def __enter__(self) -> Queen:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answer(value: typing.Any) -> bytes | bytearray:
    """What a handler has returned, copied where it may be a view of the request: that is to go before the answer."""
    if isinstance(value, (bytes, bytearray)):
        return value
    return value.encode() if isinstance(value, str) else b"" if value is None else bytes(memoryview(value))


def _failed(task: _apiary.Job, why: BaseException) -> None:
    text, code = f"{type(why).__name__}: {why}", 500
    try:
        if isinstance(why, Fail):
            text, code = str(why), why.code
            if not why.retry:
                task.retry(None)
            elif why.after is not None:
                task.retry(why.after)
        elif not isinstance(why, (Cancelled, ECANCELLED)):
            log.exception("%s has failed", task.capability, exc_info=why)
        why.__traceback__ = None  # whose frames may hold views of the request
        task.fail(code, text.replace("\0", "?"))
    except (ESTALE, BufferError) as late:
        log.warning("%s", late)


_queens: weakref.WeakSet[Queen] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    for queen in list(_queens):
        try:
            queen.stop(0)
        except (ETIMEDOUT, ApiaryError) as why:
            log.warning("%s: %s", queen.service, why)
