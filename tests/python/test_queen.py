"""A queen in Python: what becomes of what its handlers return, raise and do; her death. Run by tests/process/python.sh."""
import asyncio
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

import apiary

QUEEN = pathlib.Path(__file__).with_name("queen.py")


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it never came")
        threading.Event().wait(0.01)


class QueenInPython(unittest.TestCase):
    def setUp(self):
        self.segment = apiary.attach(swarm="asking_service")
        self.addCleanup(self.segment.close)
        self.queens = []
        self.addCleanup(self.end)

    def end(self):
        for queen in self.queens:
            queen.kill()
            queen.communicate()

    def start(self, service, instance="0"):
        queen = subprocess.Popen([sys.executable, QUEEN, service, instance], stderr=subprocess.PIPE, text=True)
        self.queens.append(queen)
        for line in queen.stderr:
            if "is registered" in line or "registered" in line:
                break
        self.log = []
        threading.Thread(target=lambda: self.log.extend(queen.stderr), daemon=True).start()
        until(lambda: self.provides(queen.pid))
        return queen

    def provides(self, pid):
        try:
            return any(row.pid == pid and row.alive for row in self.segment.discover("py.upper"))
        except apiary.ENOCAP:
            return False

    def refused(self, capability, body=b"", **options):
        with self.assertRaises(apiary.EAGENT) as caught:
            self.segment.call(capability, body, **options)
        return str(caught.exception), caught.exception.agent_code, caught.exception.attempts

    def test_handlers(self):
        queen = self.start("py_service")
        call = self.segment.call
        self.assertEqual(call("py.upper", b"hello"), b"HELLO")
        self.assertEqual(call("py.upper2", b""), b"")
        self.assertEqual(self.refused("py.raise", b"a reason", retry="2,backoff=1ms"), ("ValueError: a reason", 500, 2))
        self.assertEqual(self.refused("py.fail", retry="5,backoff=1ms"), ("no such thing", 404, 1))
        self.assertEqual(self.refused("py.stale"), ("ESTALE: a claim of its own", 500, 1))
        self.assertEqual(self.refused("py.exit"), ("SystemExit: 3", 500, 1))
        self.assertEqual(list(self.segment.delegate("py.parts", b"a b c", parts=True).parts()), [b"a", b"b", b"c"])
        self.assertEqual(call("py.parts", b"a b c"), b"abc")
        self.assertEqual(call("py.coroutine"), b"of a coroutine")
        body = bytes(range(256)) * 500
        self.assertEqual(call("py.view", body), b"%d" % sum(body))
        self.assertEqual(call("py.echo", body), body)
        # A task whose request somebody still views has no end before that.
        kept = self.segment.delegate("py.keep", body)
        until(lambda: any("a view of the request is still there" in line for line in self.log))
        self.assertIsNone(kept.poll())
        self.assertEqual(call("py.kept"), body)
        self.assertEqual(kept.wait().error, "APIARY_EAGENT")
        self.assertEqual(call("py.facts", timeout=20), b"py.facts asking_service 1 True %d" % queen.pid)
        self.assertEqual(call("py.asks", b"in turn"), b"IN TURN")

        # Parts wait for their reader, and a cancelled task stops its handler.
        flood = self.segment.delegate("py.flood", parts=True)
        some = flood.parts()
        self.assertEqual([next(some) for _ in range(3)], [b"0 ", b"1 ", b"2 "])
        flood.cancel()
        hang = self.segment.delegate("py.hang")
        until(lambda: (hang.progress() or "").startswith("turn"))
        hang.cancel()
        self.assertEqual(hang.wait().error, "APIARY_EAGENT")
        late = self.segment.delegate("py.hang", timeout=0.1).wait  # its deadline reaches it, too
        try:
            late()
        except apiary.ETIMEDOUT:
            pass
        self.assertEqual(call("py.upper", b"goes on"), b"GOES ON")

        # What she is told to stop with is finished, and she leaves.
        queen.send_signal(signal.SIGTERM)
        self.assertEqual(queen.wait(60), 0)
        with self.assertRaises(apiary.ENOPROVIDER):
            call("py.upper")

    def test_kill_under_load_loses_nothing(self):
        first = self.start("py_service", "a")
        self.start("py_service", "b")
        answers, stop = [], threading.Event()

        async def some(n):
            return await asyncio.gather(*(self.segment.acall("py.upper", b"a%d" % i, timeout=60) for i in range(n)))

        def load():
            while not stop.is_set():
                answers.append(asyncio.run(some(50)))

        thread = threading.Thread(target=load)
        thread.start()
        until(lambda: len(answers) >= 3)
        first.kill()
        first.wait()
        seen = len(answers)
        until(lambda: len(answers) >= seen + 3 or not thread.is_alive())
        stop.set()
        thread.join()
        self.assertGreaterEqual(len(answers), seen + 3)
        for answer in answers:
            self.assertEqual(answer, [b"A%d" % i for i in range(50)])

    def test_a_queen_has_a_worker_at_least(self):
        with self.assertRaisesRegex(ValueError, "workers"):
            apiary.Queen("no_workers_service", apiary.agent("py.none")(lambda job: None), workers=0)

    def test_in_this_process(self):
        @apiary.agent("here.double")
        def double(job):
            return job.body * 2

        with apiary.Queen("here_service", double):
            self.assertEqual(self.segment.call("here.double", b"ab"), b"abab")
            with self.assertRaises(apiary.EEXIST):
                apiary.Queen("here_service", double)
        with self.assertRaises(apiary.ENOPROVIDER):
            self.segment.call("here.double")
        with self.assertRaises(apiary.ApiaryError):
            apiary.Queen("no such name!", double)

    def test_an_interpreter_may_end_with_a_queen(self):
        program = ("import apiary\n@apiary.agent('gone.x')\ndef x(job): return 'x'\nq = apiary.Queen('gone_service', x)\n"
                   "print(q.segment.call('gone.x').decode())")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "x\n"), done.stderr)


if __name__ == "__main__":
    unittest.main()
