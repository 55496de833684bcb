"""tests/process/lib_tracer.py THREAD - stops one thread of another process, and no other of it, until standard input ends or the
thread is killed. It prints "stopped", or why that is refused."""
import ctypes
import os
import select
import sys

libc = ctypes.CDLL(None, use_errno=True)
thread = int(sys.argv[1])
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT = 0x4206, 0x4207
for request in SEIZE, INTERRUPT:
    if libc.ptrace(request, thread, None, None) != 0:
        print('refused:', os.strerror(ctypes.get_errno()), flush=True)
        sys.exit(1)
os.waitpid(thread, 0x40000000)  # __WALL
print('stopped', flush=True)
# A thread that is killed is its tracer's to wait for, before its parent learns of it.
while not select.select([0], [], [], 0.05)[0] and os.waitpid(thread, 0x40000000 | os.WNOHANG) == (0, 0):
    pass
