"""A relay in front of a server, which simulates faults of networks."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Describes the fault of one connection. `down` is the direction from the server, `up` from the client, in bytes.

    The default is no fault: the relay only forwards the bytes.
    """

    cut_down: int = -1  # after so many bytes
    cut_up: int = -1
    status: int = 0  # answer with this one of HTTP, and close


class Relay:
    """Applies one fault to each connection in order, and then no more faults."""

    def __init__(self, port: int, *faults: Fault, forever: Fault | None = None) -> None:
        self._target = port
        self._faults = list(faults)
        self._forever = forever
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.met = 0  # connections that had a fault
        self.port = self._listen(port)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            for close in (lambda one=connection: one.shutdown(socket.SHUT_RDWR), connection.close):
                with suppress(OSError):
                    close()

    def _listen(self, target: int) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self._open.append(listener)
        threading.Thread(target=self._accept, args=(listener, target), daemon=True).start()
        return listener.getsockname()[1]

    def _accept(self, listener: socket.socket, target: int) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client, target), daemon=True).start()

    def _next(self) -> Fault:
        with self._lock:
            fault = self._faults.pop(0) if self._faults else self._forever or Fault()
            self.met += fault != Fault()
            return fault

    def _relay(self, client: socket.socket, target: int) -> None:
        fault = self._next()
        if fault.status:
            self._answer(client, fault.status)
            return
        try:
            server = socket.create_connection(("127.0.0.1", target))
        except OSError:
            client.close()
            return
        self._open += [client, server]
        pair = (client, server)
        up = threading.Thread(target=self._pump, args=(client, server, fault.cut_up, None, pair), daemon=True)
        up.start()
        self._pump(server, client, fault.cut_down, fault, pair)

    def _pump(self, source, sink, cut, fault, pair) -> None:
        """Copy data until the end of the stream. `fault` applies to the data from the server."""
        count = 0
        try:
            while data := source.recv(1 << 16):
                if fault:
                    data = self._passive(data)
                if 0 <= cut < count + len(data):
                    sink.sendall(data[: cut - count])
                    break
                sink.sendall(data)
                count += len(data)
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:
            pass
        for connection in pair:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _passive(self, data: bytes) -> bytes:
        """Relay the data port that an FTP server specifies."""
        found = re.match(rb"227 .*\((\d+,\d+,\d+,\d+),(\d+),(\d+)\)", data)
        if not found:
            return data
        port = self._listen(int(found[2]) << 8 | int(found[3]))
        return b"227 Entering passive mode (127,0,0,1,%d,%d).\r\n" % (port >> 8, port & 255)

    def _answer(self, client: socket.socket, status: int) -> None:
        try:
            client.recv(1 << 16)
            client.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(2)
            while client.recv(1 << 16):
                pass
        except OSError:
            pass
        client.close()
