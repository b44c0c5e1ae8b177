"""A relay in front of a server, which simulates faults: cut connections, flipped bits, slow data, other responses."""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

UP, DOWN = "up", "down"
"""From the client to the server, and back."""

_PIECE = 1 << 14
_HEAD_END = b"\r\n\r\n"


@dataclass
class Cut:
    """Breaks the connection at this byte, counted over all connections in one direction."""

    direction: str
    at: int
    reset: bool = False  # whether the client sees a reset, not an end


@dataclass
class Flip:
    """Changes a bit of the byte at this position."""

    direction: str
    at: int


@dataclass
class Answer:
    """Answers request number `number` (of all requests) instead of the server."""

    number: int
    status: int
    headers: str = ""


@dataclass
class Length:
    """Changes the Content-Length in response number `number`."""

    number: int
    change: int


class Relay:
    """Listens on the loopback interface during the block. Each fault occurs once. `rate` is in bytes/s (0: no limit).

    `requests` contains the first line of each request. `up` and `down` count the relayed bytes.
    """

    def __init__(self, port: int, faults=(), rate: int = 0) -> None:
        self._target = port
        self._faults = list(faults)
        self._rate = rate
        self._lock = threading.Lock()
        self._carried = {UP: 0, DOWN: 0}
        self._answers = 0
        self._connections: list[threading.Thread] = []
        self._over = False
        self.requests: list[str] = []
        self.happened: list[object] = []

    def __enter__(self) -> Relay:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        # What clients that are gone have sent and nobody has carried yet arrives nowhere.
        self._over = True
        for connection in self._connections:
            connection.join(10)

    def carried(self, direction: str) -> int:
        return self._carried[direction]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            connection = threading.Thread(target=self._connect, args=(client,), daemon=True)
            connection.start()  # before it is known to who waits for its end
            self._connections.append(connection)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or pieces wait 40 ms for acknowledgments
        # One thread for both directions: a socket that another thread reads from cannot be reset.
        with suppress(OSError):
            while not self._over and self._step(client, server):
                pass
        for end in (client, server):
            end.close()

    def _step(self, client: socket.socket, server: socket.socket) -> bool:
        """Relay the available data. Returns whether to keep the connection."""
        for source in select.select([client, server], [], [], 0.05)[0]:
            direction, sink = (UP, server) if source is client else (DOWN, client)
            data = source.recv(_PIECE)
            if not data or (direction == UP and not self._note(data, client)):
                return False
            if direction == DOWN:
                data = self._relength(data)
            data, cut = self._spoil(data, direction)
            sink.sendall(data)
            if self._rate:
                time.sleep(len(data) / self._rate)
            if cut:
                for end in (client, server) if cut.reset else ():
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        return True

    def _note(self, data: bytes, client: socket.socket) -> bool:
        """Record a request. Returns whether to forward the request to the server."""
        line = re.match(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+ HTTP/1\.1\r\n", data)
        if not line:
            return True
        with self._lock:
            self.requests.append(line[0].decode().rpartition(" ")[0])
            number = len(self.requests)
            for fault in self._faults:
                if isinstance(fault, Answer) and fault.number == number:
                    self._faults.remove(fault)
                    self.happened.append(fault)
                    head = f"HTTP/1.1 {fault.status} Told so\r\n{fault.headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
                    client.sendall(head.encode())
                    return False
        return True

    def _relength(self, data: bytes) -> bytes:
        if not data.startswith(b"HTTP/1.1 "):
            return data
        with self._lock:
            self._answers += 1
            for fault in self._faults:
                if isinstance(fault, Length) and fault.number <= self._answers and b"Content-Length: " in data:
                    self._faults.remove(fault)
                    self.happened.append(fault)
                    head, end, body = data.partition(_HEAD_END)
                    changed = re.sub(
                        rb"(Content-Length: )(\d+)",
                        lambda match: match[1] + str(max(0, int(match[2]) + fault.change)).encode(),
                        head,
                    )
                    return changed + end + body
        return data

    def _spoil(self, data: bytes, direction: str) -> tuple[bytes, Cut | None]:
        with self._lock:
            start = self._carried[direction]
            for fault in list(self._faults):
                if isinstance(fault, Cut | Flip) and fault.direction == direction and fault.at < start + len(data):
                    self._faults.remove(fault)
                    self.happened.append(fault)
                    at = max(0, fault.at - start)
                    if isinstance(fault, Cut):
                        self._carried[direction] += at
                        return data[:at], fault
                    data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            self._carried[direction] += len(data)
        return data, None
