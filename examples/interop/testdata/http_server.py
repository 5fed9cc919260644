"""An HTTP server with the routes of TestOurHTTPClient, over http.server. It prints its port."""
import gzip
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = sys.argv[1]  # HTTP/1.0 or HTTP/1.1

    def log_message(self, *args):
        pass

    def reply(self, body, status=200, **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def chunks(self, pieces, pause=0, cut=False):
        self.send_response(200)
        if self.protocol_version == "HTTP/1.0":
            self.end_headers()
            for p in pieces:
                self.wfile.write(p)
                time.sleep(pause)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for p in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(p), p))
            time.sleep(pause)
        if not cut:
            self.wfile.write(b"0\r\nX-Sum: 3\r\n\r\n")

    def do_GET(self):
        if self.path == "/hello":
            self.reply(b"hello")
        elif self.path == "/chunked":
            self.chunks([b"one ", b"two ", b"three"])
        elif self.path == "/gzip":
            text = b"compressed " * 1000
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                self.reply(gzip.compress(text), Content_Encoding="gzip")
            else:
                self.reply(text)
        elif self.path == "/etag":
            if self.headers.get("If-None-Match") == '"x"':
                self.reply(b"", 304, ETag='"x"')
            else:
                self.reply(b"tagged", ETag='"x"')
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"0123456789")
            self.close_connection = True
        elif self.path == "/cutchunks":
            self.chunks([b"0123456789"], cut=True)
            self.close_connection = True
        elif self.path == "/slow":
            self.chunks([b"piece "] * 5, pause=0.02)
        elif self.path == "/until":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"until the end")
        else:
            self.reply(b"", 404)

    do_HEAD = do_GET

    def do_POST(self):
        body = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while n := int(self.rfile.readline(), 16):
                body += self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
server.serve_forever()
