# up_terminal.py CONTROL COMMAND...: runs COMMAND on a terminal of its own (80 columns), passes on what it says, and obeys the
# words in the file CONTROL: "stop" (Ctrl-S, and nothing is read any more), "close" (the terminal goes; the command stays).
import fcntl
import os
import pty
import select
import sys
import termios

control, command = sys.argv[1], sys.argv[2:]
os.mkfifo(control)
pid, master = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(command[0], command)
fcntl.ioctl(master, termios.TIOCSWINSZ, b"\x18\x00\x50\x00\x00\x00\x00\x00")
words = os.open(control, os.O_RDWR)
reading = True
while True:
    ready = select.select([words] + ([master] if reading else []), [], [])[0]
    if master in ready:
        try:
            sys.stdout.buffer.write(os.read(master, 65536))
            sys.stdout.buffer.flush()
        except OSError:
            break
    if words in ready:
        word = os.read(words, 100).split()
        if b"stop" in word:
            os.write(master, b"\x13")
            reading = False
        if b"close" in word:
            os.close(master)
            break
