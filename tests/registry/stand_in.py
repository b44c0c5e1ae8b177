"""A fake registry that follows the specification. Unlike Debian's registry, it supports resumable uploads and limits.

docker-registry 2.8 discards an upload after an interrupted request. Version 3 and other registries keep the received
bytes.
"""

import hashlib
import itertools
import json
import re
import threading
import urllib.parse
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tests.helpers.loopback import Handler, running


class Registry:
    """Holds the stored data and the enforced limits. `received` counts the bytes of all upload bodies."""

    def __init__(self, *, largest: int = 0, smallest: int = 0, largest_range: int = 0) -> None:
        self.largest = largest  # bytes of a body, 0 for no limit
        self.largest_range = largest_range  # bytes of a body with Content-Range, as GHCR limits it; 0 for no limit
        self.smallest = smallest  # bytes of each chunk but the last
        self.refused: dict[str, int] = {}  # the status of the answer, by a field that a manifest has, or by its type
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.busy: dict[str, threading.Lock] = {}  # of an upload: a status waits until the request before has ended
        self.names = itertools.count()
        self.chunks: list[int] = []
        self.received = 0

    @contextmanager
    def serve(self):
        """Yield the port. The server runs until the block ends."""
        with running(type("Handler", (_Handler,), {"registry": self})) as server:
            yield server.server_port


class _Handler(Handler):
    registry: Registry
    timeout = 20  # seconds: the request of an interrupted client can stay incomplete, and holds `busy`

    def do_GET(self) -> None:
        with self._busy():
            self._get()

    def do_PATCH(self) -> None:
        with self._busy():
            self._patch()

    def do_PUT(self) -> None:
        with self._busy():
            self._put()

    def _busy(self) -> AbstractContextManager:
        return self.registry.busy.get(self._upload(), nullcontext())

    def do_DELETE(self) -> None:
        self._answer(204 if self.registry.uploads.pop(self._upload(), None) is not None else 404)

    def _get(self) -> None:
        name = self._upload()
        if name in self.registry.uploads:
            self._progress(204, name)
        else:
            self._answer(200 if self.path == "/v2/" else 404)

    def do_HEAD(self) -> None:
        digest = self.path.rpartition("/")[2]
        self._answer(200 if digest in self.registry.blobs else 404, length=len(self.registry.blobs.get(digest, b"")))

    def do_POST(self) -> None:
        name = f"u{next(self.registry.names)}"
        self.registry.uploads[name], self.registry.busy[name] = bytearray(), threading.Lock()
        self._progress(202, name)

    def _patch(self) -> None:
        name, size = self._upload(), int(self.headers["Content-Length"])
        upload = self.registry.uploads[name]
        declared = self.headers["Content-Range"] or f"{len(upload)}-{len(upload) + size - 1}"
        first, last = map(int, re.fullmatch(r"(\d+)-(\d+)", declared).groups())
        if self._too_large(size):
            return
        if "Content-Range" in self.headers and 0 < self.registry.largest_range < size:
            self._answer(416)
            self.close_connection = True
            return
        if first != len(upload) or last - first + 1 != size:
            self._progress(416, name)
            self.close_connection = True
            return
        self.registry.chunks.append(size)
        if self._receive(upload, size):
            self._progress(202, name)

    def _put(self) -> None:
        size = int(self.headers["Content-Length"])
        if "/manifests/" in self.path:
            content = self.rfile.read(size)
            document = json.loads(content)
            seen = {*document, document["mediaType"], document.get("artifactType")}
            status = next((status for key, status in self.registry.refused.items() if key in seen), 201)
            if status == 201:
                self.registry.manifests[self.path] = content
            self._answer(status)
            return
        if self._too_large(size):
            return
        upload = self.registry.uploads[self._upload()]
        digest = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["digest"][0]
        if not self._receive(upload, size):
            return
        if f"sha256:{hashlib.sha256(upload).hexdigest()}" != digest:
            self._answer(400)
            return
        self.registry.blobs[digest] = bytes(self.registry.uploads.pop(self._upload()))
        self._answer(201)

    def _too_large(self, size: int) -> bool:
        if not self.registry.largest or size <= self.registry.largest:
            return False
        self.close_connection = True
        self._answer(413)
        return True

    def _receive(self, upload: bytearray, size: int) -> bool:
        """Store the received bytes. Returns whether the body was complete."""
        while size:
            try:
                piece = self.rfile.read1(size)
            except OSError:
                piece = b""
            if not piece:
                self.close_connection = True
                return False
            upload += piece
            self.registry.received += len(piece)
            size -= len(piece)
        return True

    def _upload(self) -> str:
        return urllib.parse.urlsplit(self.path).path.rpartition("/")[2]

    def _progress(self, status: int, name: str) -> None:
        upload = self.registry.uploads[name]
        headers = {"Location": f"/v2/x/blobs/uploads/{name}", "Range": f"0-{max(0, len(upload) - 1)}"}
        if self.registry.smallest:
            headers["OCI-Chunk-Min-Length"] = str(self.registry.smallest)
        self._answer(status, headers)

    def _answer(self, status: int, headers: dict[str, str] | None = None, length: int = 0) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
