"""A web server that says of each request what it has answered: `served METHOD PATH STATUS`."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    request_queue_size = 128


class Story(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        path = self.path.split("?")[0]
        # In one piece: other threads speak too.
        os.write(1, f"served {self.command} {path} {code}\n".encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        total = 0
        while length := int(self.rfile.readline(), 16):
            total += len(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return total

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/small":
            self.answer(200, b"small\n")
        elif path == "/large":
            self.answer(200, bytes(1_000_000))
        elif path == "/pieces":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(10):
                self.wfile.write(b"8\r\npiece %d\n\r\n" % number)
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/broken":
            self.answer(500, b"broken\n")
        else:
            self.answer(404, b"no\n")

    def do_POST(self):
        self.answer(201, b"%d\n" % self.body())

    do_HEAD = do_GET


server = Server(("127.0.0.1", 0), Story)
os.write(1, f"port {server.server_port}\n".encode())
server.serve_forever()
