"""tests/process/lib_health.py FOLDER - a service's own HTTP port. It writes FOLDER/port and FOLDER/closed (a port of which it is sure
that nobody listens there), adds a line to FOLDER/asked for each request, and answers a path as the file FOLDER/answer.PATH says: a
status, or "hang" for no answer as long as it says so. Without the file: 200."""
import http.server
import os
import socket
import sys
import time

folder = sys.argv[1]


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        try:
            with open(os.path.join(folder, 'answer.' + self.path.strip('/')), encoding='ascii') as f:
                return f.read().strip()
        except FileNotFoundError:
            return '200'

    def do_GET(self):
        with open(os.path.join(folder, 'asked'), 'a', encoding='ascii') as f:
            f.write(self.path + '\n')
        while self.answer() == 'hang':
            time.sleep(0.02)
        try:
            self.send_response(int(self.answer() or '200'))
            self.send_header('Content-Length', '2')
            self.end_headers()
            self.wfile.write(b'ok')
        except OSError:
            pass  # who asked has given up

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


def write(name, number):
    with open(os.path.join(folder, name + '.new'), 'w', encoding='ascii') as f:
        f.write(str(number))
    os.rename(os.path.join(folder, name + '.new'), os.path.join(folder, name))


closed = socket.socket()
closed.bind(('127.0.0.1', 0))
server = Server(('127.0.0.1', 0), Handler)
write('closed', closed.getsockname()[1])
write('port', server.server_address[1])
server.serve_forever()
