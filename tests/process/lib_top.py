# lib_top.py COMMAND...: runs COMMAND on a terminal of its own and obeys the lines of standard input:
#   size ROWS COLUMNS   the terminal is so large (24 80 at first)
#   keys TEXT           are pressed; \e, \r, \x7f as in Python
#   until REGEX         until the screen shows that; "shows"
#   absent REGEX        until it does not
#   screen              prints the screen, a line each, and "."
#   signal NAME         the command gets that
#   end                 until the command has ended: "ended CODE", or "signal NUMBER", and what the terminal was left in: "modes ..."
# A wait ends after 60 s with "FAILED", and the screen.
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

sys.path.append("/usr/lib/python3/dist-packages")  # where this is another python than Debian's
import pyte

rows, columns = 24, 80
screen = pyte.Screen(columns, rows)
stream = pyte.ByteStream(screen)
raw = b""
pid, master = pty.fork()
if pid == 0:
    os.environ.setdefault("TERM", "xterm")
    os.execvp(sys.argv[1], sys.argv[1:])
before = termios.tcgetattr(master)


def size():
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read(seconds):
    global raw
    if not select.select([master], [], [], seconds)[0]:
        return True
    try:
        some = os.read(master, 65536)
    except OSError:
        return False
    raw += some
    stream.feed(some)
    return True


def wait(what):
    until = time.monotonic() + 60
    while not what():
        if time.monotonic() > until or not read(0.1):
            print("FAILED")
            print("\n".join(screen.display), flush=True)
            return False
    return True


def text():
    return "\n".join(line.rstrip() for line in screen.display)


size()
for line in sys.stdin:
    word, _, rest = line.rstrip("\n").partition(" ")
    if word == "size":
        rows, columns = map(int, rest.split())
        screen.resize(rows, columns)
        size()
    elif word == "keys":
        os.write(master, rest.encode().decode("unicode_escape").encode())
    elif word == "until":
        if wait(lambda: re.search(rest, text(), re.M)):
            print("shows", flush=True)
    elif word == "absent":
        if wait(lambda: not re.search(rest, text(), re.M)):
            print("shows", flush=True)
    elif word == "screen":
        read(0)
        print(text() + "\n.", flush=True)
    elif word == "signal":
        os.kill(pid, getattr(signal, f"SIG{rest}"))
    elif word == "end":
        code = None
        while code is None:
            read(0.1)
            got, status = os.waitpid(pid, os.WNOHANG)
            code = status if got == pid else None
        while read(0) and select.select([master], [], [], 0)[0]:
            pass
        how = f"ended {os.WEXITSTATUS(code)}" if os.WIFEXITED(code) else f"signal {os.WTERMSIG(code)}"
        left = "restored" if termios.tcgetattr(master)[3] == before[3] and raw.rfind(b"\x1b[?1049l") > raw.rfind(b"\x1b[?1049h") else "broken"
        print(how, left, flush=True)
