"""The client for Python beside a C swarm: threads, asyncio, views, memory, claims, errors, fork. Run by tests/process/python.sh."""
import asyncio
import concurrent.futures
import datetime
import gc
import os
import signal
import subprocess
import sys
import threading
import unittest
import weakref

import apiary


class Client(unittest.TestCase):
    def setUp(self):
        self.segment = apiary.attach()
        self.addCleanup(self.segment.close)

    def test_call(self):
        self.assertEqual(self.segment.call("echo", b"hello"), b"hello")
        self.assertEqual(self.segment.call("echo", "grüße"), "grüße".encode())
        self.assertEqual(self.segment.call("echo"), b"")
        self.assertEqual(self.segment.call("echo", memoryview(b"a view")[2:]), b"view")

    def test_delegate_wait_result_cancel(self):
        task = self.segment.delegate("upper", b"hello")
        self.assertRegex(task.id, "^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$")
        self.assertEqual(task.result(), b"HELLO")
        with self.assertRaises(apiary.ESTALE):
            task.wait()
        hangs = self.segment.delegate("hang")
        with self.assertRaises(apiary.ENOTREADY) as caught:
            hangs.wait(0.01)
        self.assertIsInstance(caught.exception, TimeoutError)
        self.assertIsNone(hangs.poll())
        self.assertTrue(hangs.cancel())
        with self.assertRaises(apiary.ApiaryError):
            hangs.result()

    def test_views_read_in_place_and_outlive_the_segment(self):
        body = os.urandom(200_000)
        result = self.segment.delegate("echo", body).wait()
        view = memoryview(result)
        self.assertTrue(view.readonly)
        with self.assertRaises(BufferError):
            result.release()
        self.segment.close()
        del result
        gc.collect()
        self.assertEqual(view, body)
        with self.assertRaises(apiary.ESTALE):
            self.segment.call("echo")
        view.release()

    def test_many_results_leave_no_block_behind(self):
        body = bytes(200_000)
        for _ in range(100):
            self.assertEqual(len(self.segment.delegate("echo", body).wait()), len(body))
            self.segment.delegate("echo", body)  # nobody refers to it

    def test_failures(self):
        with self.assertRaises(apiary.EAGENT) as caught:
            self.segment.call("refuse", b"a bad day")
        self.assertIn("a bad day", str(caught.exception))
        self.assertEqual((caught.exception.name, caught.exception.agent_code, caught.exception.attempts), ("APIARY_EAGENT", 1, 1))
        with self.assertRaises(apiary.ENOCAP) as caught:
            self.segment.call("nobody.has.this")
        self.assertIn("apiary services", caught.exception.advice)
        with self.assertRaises(apiary.ENOSEG):
            apiary.attach("/apiary-there-is-none")
        result = self.segment.delegate("refuse", b"x").wait()
        self.assertEqual((result.error, result.agent_code), ("APIARY_EAGENT", 1))
        with self.assertRaises(apiary.EAGENT):
            result.check()

    def test_options(self):
        for timeout in (30, 30.0, "30s", datetime.timedelta(seconds=30)):
            self.assertEqual(self.segment.call("echo", b"x", timeout=timeout, retry=3, hops=5, priority="high"), b"x")
        with self.assertRaises((apiary.ETIMEDOUT, apiary.EAGENT)):
            self.segment.call("hang", timeout=0.05)
        with self.assertRaisesRegex(TypeError, "no option 'tiemout'"):
            self.segment.call("echo", tiemout=3)
        with self.assertRaisesRegex(ValueError, "hops: 'many' cannot be that"):
            self.segment.call("echo", hops="many")
        self.assertIn("dedup-key", apiary.option_names())
        task = self.segment.delegate("echo", b"kept", detach=True, keep="1m")
        self.assertTrue(task.id)

    def test_parts_and_progress(self):
        task = self.segment.delegate("words", b"one two three", parts=True)
        self.assertEqual(list(task.parts()), [b"one\n", b"two\n", b"three\n"])
        task = self.segment.delegate("words", b"one two", parts=False)
        result = task.wait()
        self.assertEqual(bytes(result), b"one\ntwo\n")

    def test_discover(self):
        row, = self.segment.discover("echo")
        self.assertEqual((row.service, row.agent, row.alive), ("c_service", "echo", True))
        self.assertEqual(self.segment.call("echo", b"to it", provider=row.provider), b"to it")

    def test_threads_come_and_go(self):
        def some(n):
            return [self.segment.call("echo", b"%d %d" % (n, i)) for i in range(20)] == [b"%d %d" % (n, i) for i in range(20)]

        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                self.assertTrue(all(pool.map(some, range(16))))

    def test_close_ends_waits_in_other_threads(self):
        waits, ended = threading.Event(), []

        def wait():
            task = self.segment.delegate("hang", timeout=5)
            waits.set()
            try:
                task.wait()
            except apiary.ApiaryError as why:
                ended.append(why.name)

        thread = threading.Thread(target=wait)
        thread.start()
        waits.wait()
        self.segment.close()
        thread.join()
        self.assertIn(ended, [["APIARY_EINTERRUPTED"], ["APIARY_ESTALE"]])

    def test_signals_are_handled_while_a_call_waits(self):
        def handler(*_):
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGUSR1, handler)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with self.assertRaises(KeyboardInterrupt):
            self.segment.call("hang", timeout=60)

    def test_a_child_attaches_again(self):
        child = os.fork()
        if child == 0:
            try:
                self.segment.call("echo")
            except apiary.EFORKED:
                with apiary.attach() as own:
                    os._exit(0 if own.call("echo", b"x") == b"x" else 2)
            finally:
                os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(self.segment.call("echo", b"x"), b"x")

    def test_an_interpreter_may_end_with_all_open(self):
        program = ("import apiary, threading\ns = apiary.attach()\nt = s.delegate('hang', timeout=2)\nr = s.delegate('echo', b'x' * 100000).wait()\n"
                   "v = memoryview(r)\nthreading.Thread(target=t.wait, daemon=True).start()\nw = s.memory('end').watch()\nprint(len(v))")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "100000\n", ""))


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.segment = apiary.attach()
        self.addCleanup(self.segment.close)

    async def test_calls_at_once(self):
        threads = threading.active_count()
        answers = await asyncio.gather(*(self.segment.acall("echo", b"%d" % i) for i in range(100)))
        self.assertEqual(answers, [b"%d" % i for i in range(100)])
        self.assertEqual(threading.active_count(), threads)

    async def test_await_a_task(self):
        self.assertEqual(await self.segment.delegate("upper", b"hello"), b"HELLO")
        with self.assertRaises(apiary.EAGENT):
            await self.segment.acall("refuse", b"x")
        with self.assertRaises((apiary.ETIMEDOUT, apiary.EAGENT)):  # its agent may be the first to see that its time is over
            await self.segment.acall("hang", timeout=0.05)

    async def test_the_loop_goes_on_and_a_cancelled_wait_cancels_the_task(self):
        task = self.segment.delegate("hang", timeout=60)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(task._ended(), 0.05)
        self.assertEqual(await self.segment.acall("echo", b"goes on"), b"goes on")

    async def test_parts(self):
        task = self.segment.delegate("words", b"one two three", parts=True)
        self.assertEqual([part async for part in task.aparts()], [b"one\n", b"two\n", b"three\n"])

    async def test_who_waits_is_told_when_the_segment_is_closed(self):
        tasks = [self.segment.delegate("hang", parts=True, timeout=3600) for _ in range(4)]
        waiting = [asyncio.ensure_future(task) for task in tasks[1:]]
        waiting.append(asyncio.ensure_future(tasks[0].aparts().__anext__()))
        await asyncio.sleep(0)
        await asyncio.to_thread(self.segment.close)
        for ended in await asyncio.gather(*waiting, return_exceptions=True):
            self.assertIsInstance(ended, apiary.ESTALE)
        for task in tasks:
            subprocess.run(["apiary", "task", "cancel", task.id], check=True, stdout=subprocess.DEVNULL)

    async def test_a_task_of_another_thread_is_refused(self):
        task = await asyncio.to_thread(self.segment.delegate, "echo", b"x")
        with self.assertRaises(RuntimeError):
            await task
        self.assertEqual(task.result(), b"x")


class Loops(unittest.TestCase):
    def test_a_loop_that_has_ended_is_kept_by_nobody(self):
        async def call():
            self.assertEqual(await segment.acall("echo", b"x"), b"x")
            return weakref.ref(asyncio.get_running_loop())

        with apiary.attach() as segment:
            before = len(os.listdir("/proc/self/fd"))
            loops = [asyncio.run(call()) for _ in range(5)]
            gc.collect()
            self.assertEqual([loop() for loop in loops], [None] * 5)
            self.assertLessEqual(len(os.listdir("/proc/self/fd")), before + 1)  # the segment's own of this thread


class Shared(unittest.TestCase):
    def setUp(self):
        self.segment = apiary.attach()
        self.addCleanup(self.segment.close)
        self.memory = self.segment.memory(self.id().rpartition(".")[2][:40])

    def test_memory(self):
        m = self.memory
        m["a"] = b"1"
        self.assertEqual(m["a"], b"1")
        self.assertEqual(m.incr("a", 4), 5)
        self.assertIsNone(m.get("b"))
        with self.assertRaises(LookupError):
            m["b"]
        value = m.get("a")
        m.cas("a", "text", value.version)
        with self.assertRaises(apiary.ECHANGED):
            m.cas("a", b"", value.version)
        with self.assertRaises(apiary.EEXIST):
            m.add("a", b"")
        m.put("long", bytes(20_000), ttl=60)
        self.assertEqual(m["long"], bytes(20_000))
        self.assertTrue(0 < m.get("long").ttl <= 60)
        self.assertEqual(sorted(m.scan()), ["a", "long"])
        self.assertIn("a", m)
        del m["a"]
        self.assertNotIn("a", m)

    def test_watch(self):
        self.memory["there"] = b"1"
        changes = self.memory.watch(timeout=30)
        self.assertEqual([next(changes).event for _ in range(2)], ["present", "synced"])
        threading.Thread(target=self.memory.put, args=("new", b"2")).start()
        change = next(changes)
        self.assertEqual((change.event, change.key, change.size), ("put", "new", 1))

    def test_claim(self):
        with self.segment.claim("printer", ttl=60) as claim:
            self.assertTrue(claim.check())
            claim.renew(60)
            with self.assertRaises(apiary.EHELD):
                self.segment.claim("printer", ttl=1)
            other = self.segment.claim("printer", ttl=1, policy="use_existing")
            self.assertEqual((other.held, other.pid), (False, os.getpid()))
        self.assertFalse(claim.check())
        with self.assertRaises(ValueError):
            self.segment.claim("printer", policy="perhaps")


if __name__ == "__main__":
    unittest.main()
