"""HTTP servers that run in the process of a test."""

import http.server
import sys
import threading
from contextlib import contextmanager


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests, and logs nothing."""

    protocol_version = "HTTP/1.1"
    # Else the second part of a response waits for the client's acknowledgment of the first, which takes 40 ms.
    disable_nagle_algorithm = True

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a response with its length, without empty headers, and for HEAD without its body."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Serves with a class of handlers on the loopback interface, until it is closed or its block ends."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self.server_port}"
        # By default, a server notices only twice a second that it must end.
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def start(self) -> "Server":
        self._thread.start()
        return self

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *address: object) -> None:
        """Ignore clients that end a request early."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*address)


@contextmanager
def running(handler: type[http.server.BaseHTTPRequestHandler], **attributes: object):
    """Yield a server with these attributes, which runs until the block ends."""
    server = Server(handler)
    vars(server).update(attributes)
    server.start()
    try:
        yield server
    finally:
        server.close()
