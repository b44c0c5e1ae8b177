"""A server that sends the exact bytes that a test specifies. Libraries for servers don't allow invalid bytes."""

import socket
import threading
from contextlib import contextmanager, suppress
from typing import NamedTuple


class Request(NamedTuple):
    """Describes a request that a client sent."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


class Liar:
    """Sends the bytes (or an iterable of pieces) that `answer` returns for each request, and stores all requests."""

    def __init__(self, answer) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.requests: list[Request] = []
        self.port = self._listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"

    def run(self) -> None:
        with suppress(OSError):
            while True:
                channel, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(channel,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self, channel: socket.socket) -> None:
        """Answer one request of a connection, and close the connection."""
        with channel, channel.makefile("rb") as file, suppress(OSError):
            if not channel.recv(1, socket.MSG_PEEK).isalpha():
                return  # a client that tries encryption first
            line = file.readline().decode("latin-1").split(" ")
            headers = {}
            while (header := file.readline().decode("latin-1").strip()) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            request = Request(line[0], line[1], headers, file.read(int(headers.get("content-length", "0"))))
            self.requests.append(request)
            given = self._answer(request)
            for piece in [given] if isinstance(given, bytes) else given:
                channel.sendall(piece)
            channel.shutdown(socket.SHUT_WR)


@contextmanager
def liar(answer):
    """Yield the server, which runs until the block ends."""
    server = Liar(answer)
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield server
    finally:
        server.close()


def reply(status: int = 200, headers=(), body: bytes = b"") -> bytes:
    """Return a response. `headers` are pairs or a dict. Adds `Content-Length` if no header specifies the length."""
    pairs = [*(headers.items() if isinstance(headers, dict) else headers), ("Connection", "close")]
    if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in pairs):
        pairs.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in pairs), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
