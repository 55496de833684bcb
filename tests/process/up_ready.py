# up_ready.py SOCKET FILE COMMAND...: runs COMMAND under a service manager's socket; what it is told stands in FILE, a line each.
import os
import socket
import subprocess
import sys

path, log, command = sys.argv[1], sys.argv[2], sys.argv[3:]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(path)
manager.settimeout(0.05)
open(log, "w").close()
child = subprocess.Popen(command, env=dict(os.environ, NOTIFY_SOCKET=path))
while child.poll() is None:
    try:
        state = manager.recv(4096).decode()
    except TimeoutError:
        continue
    with open(log, "a") as f:
        f.write(state + "\n")
sys.exit(child.returncode)
