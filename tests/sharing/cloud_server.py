"""A fake BentoCloud server, written from recordings of BentoML's client (`golden/cloud_*.jsonl` of the project).

The server enforces the protocol. It rejects unknown uploads, missing parts, unsigned or expired addresses, and tokens
in requests that must not have a token.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import urllib.parse
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.helpers.loopback import Handler, running

TOKEN = "s3cret-token-of-tests"
_TIME = "2026-01-01T00:00:00Z"
_PLACE = re.compile(r"/api/v1/(bento|model)_repositories(?:/([^/?]+)(?:/(?:bentos|models)(?:/([^/?]+)(?:/(\w+))?)?)?)?")


@dataclass
class Fault:
    """Describes another response to the first requests whose line matches."""

    line: str  # a regular expression for `METHOD path`
    status: int = 0  # 0: break the connection
    times: int = 1
    after: int = 0  # bytes of the answer's body, or of the request's, before it breaks
    body: str = ""


@dataclass
class Cloud:
    """Holds the data of the server. `requests` contains method, path, and document; `strategy` is the upload method."""

    strategy: str = "proxy"  # or presigned_url, multipart
    ranges: bool = True
    faults: list[Fault] = field(default_factory=list)
    repositories: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)  # signatures whose time is over
    problems: list[str] = field(default_factory=list)
    taken: Counter = field(default_factory=Counter)  # bytes of uploads and downloads
    stored: Counter = field(default_factory=Counter)  # how often each part, by its number, was uploaded
    lock: threading.RLock = field(default_factory=threading.RLock)
    address: str = ""
    signatures: int = 0
    uploads: int = 0

    @contextmanager
    def serve(self):
        """Yield this object. The server runs at `address` until the block ends."""
        with running(type("Handler", (_Handler,), {"cloud": self})) as server:
            self.address = f"http://{server.host}"
            yield self

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def status(self, kind: str, tag: str) -> str:
        found = self.versions.get((kind, *tag.split(":")))
        return found["upload_status"] if found else ""

    # What is asked

    def answer(self, method: str, path: str, document: Any) -> tuple[int, Any]:
        if path == "/api/v1/auth/current":
            return 200, {"name": "tester", "email": "tester@example.com", "first_name": "T", "last_name": "E"}
        if path == "/api/v1/current_org":
            return 200, self._resource("organization", "tests") | {"description": ""}
        found = _PLACE.fullmatch(path.partition("?")[0])
        if not found:
            return 404, {"error": "no such path"}
        kind, name, version, verb = (urllib.parse.unquote(part or "") for part in found.groups())
        with self.lock:
            if not name:
                return self._make_repository(kind, document)
            if (kind, name) not in self.repositories:
                return 404, {"error": "record not found"}
            if not version:
                return self._repository(method, path, kind, name, document)
            key = (kind, name, version)
            if key not in self.versions:
                # As older servers say it.
                return (404, {"error": "gone"}) if kind == "bento" else (400, {"error": "record not found"})
            return self._version(method, verb, key, document)

    def _make_repository(self, kind: str, document: dict[str, Any]) -> tuple[int, Any]:
        key = (kind, document["name"])
        if key in self.repositories:
            return 409, {"error": "it is there"}
        made = self._resource(f"{kind}_repository", document["name"]) | {
            "description": document["description"],
            f"latest_{kind}": None,
        }
        self.repositories[key] = made
        return 200, made

    def _repository(self, method: str, path: str, kind: str, name: str, document: Any) -> tuple[int, Any]:
        if method == "GET" and path.partition("?")[0].endswith("s"):
            items = [value for key, value in self.versions.items() if key[:2] == (kind, name)][::-1]
            return 200, {"start": 0, "count": len(items), "total": len(items), "items": items}
        if method == "GET":
            return 200, self.repositories[kind, name]
        key = (kind, name, document["version"])
        if key in self.versions:
            return 409, {"error": "it is there"}
        self.versions[key] = {
            **self._resource(kind, document["version"]),
            "labels": document["labels"],
            "description": document["description"],
            "version": document["version"],
            "manifest": document["manifest"],
            "build_at": document["build_at"],
            "image_build_status": "pending",
            "upload_status": "pending",
            "upload_finished_reason": "",
            "presigned_upload_url": "",
            "presigned_download_url": "",
            "transmission_strategy": {"proxy": "proxy", "multipart": "presigned_url"}.get(self.strategy),
            "upload_id": "",
        }
        return 200, self.versions[key]

    def _version(self, method: str, verb: str, key: tuple[str, str, str], document: Any) -> tuple[int, Any]:
        version = self.versions[key]
        place = "/".join(key)
        if method == "GET":
            return 200, version
        if not verb:
            version |= document
        elif verb == "start_upload":
            version["upload_status"] = "uploading"
        elif verb == "presign_upload_url":
            return 200, version | {"presigned_upload_url": self._sign(place)}
        elif verb == "presign_download_url":
            there = self.strategy != "proxy" and place in self.blobs
            return 200, version | {"presigned_download_url": self._sign(place) if there else ""}
        elif verb == "start_multipart_upload":
            self.uploads += 1
            upload = f"up{self.uploads}"  # never given twice
            self.parts[upload] = {}
            return 200, version | {"upload_id": upload}
        elif verb == "presign_multipart_upload_url":
            if document["upload_id"] not in self.parts:
                return 404, {"error": "no such upload"}
            query = f"uploadId={document['upload_id']}&partNumber={document['part_number']}"
            return 200, version | {"presigned_upload_url": self._sign(place, query)}
        elif verb == "complete_multipart_upload":
            return self._complete(place, version, document)
        elif verb == "finish_upload":
            if document["status"] == "success" and place not in self.blobs:
                self.problems.append(f"{place}: a success without bytes")
            version["upload_status"] = document["status"]
            version["upload_finished_reason"] = document["reason"]
        else:
            return 404, {"error": f"no {verb}"}
        return 200, version

    def _complete(self, place: str, version: dict[str, Any], document: Any) -> tuple[int, Any]:
        parts = self.parts.get(document["upload_id"])
        if parts is None:
            return 404, {"error": "no such upload"}
        numbers = [part["part_number"] for part in document["parts"]]
        if numbers != list(range(1, len(parts) + 1)):
            return 400, {"error": f"parts {numbers} of {sorted(parts)}"}
        for part in document["parts"]:
            if part["etag"] != _etag(parts[part["part_number"]]):
                return 400, {"error": "a part with another ETag"}
        self.blobs[place] = b"".join(parts[number] for number in sorted(parts))
        del self.parts[document["upload_id"]]
        return 200, version

    def _sign(self, place: str, query: str = "") -> str:
        self.signatures += 1
        return f"{self.address}/blob/{place}?{query}{'&' if query else ''}signature={self.signatures}"

    def _resource(self, kind: str, name: str) -> dict[str, Any]:
        return {
            "uid": hashlib.sha1(f"{kind}{name}".encode()).hexdigest(),
            "created_at": _TIME,
            "updated_at": _TIME,
            "deleted_at": None,
            "name": name,
            "resource_type": kind,
            "labels": [],
        }


class _Handler(Handler):
    cloud: Cloud

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_PUT = do_GET

    def _serve(self) -> None:
        line = f"{self.command} {self.path}"
        fault = self._fault(line)
        if fault and not fault.status and self.command != "GET":
            self._body(fault.after)
            self.close_connection = True
            self.connection.close()
            return
        body = self._body()
        if body is None:  # it was cut
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        fields = dict(urllib.parse.parse_qsl(query))
        if fault and fault.status:
            self.send(fault.status, fault.body.encode())
        elif path.startswith("/blob/"):
            self._blob(path.removeprefix("/blob/"), fields, body, fault)
        elif self.headers.get("X-YATAI-API-TOKEN") != TOKEN:
            self.send(401, b'{"error": "unauthorized"}')
        elif path.endswith(("/upload", "/download")):
            self._proxy(path, body, fault)
        else:
            document = json.loads(body) if body else None
            with self.cloud.lock:
                self.cloud.requests.append((self.command, self.path, document))
            status, found = self.cloud.answer(self.command, self.path, document)
            self.send(status, json.dumps(found).encode())

    def _fault(self, line: str) -> Fault | None:
        with self.cloud.lock:
            for fault in self.cloud.faults:
                if fault.times and re.search(fault.line, line):
                    fault.times -= 1
                    return fault
        return None

    def _blob(self, place: str, fields: dict[str, str], body: bytes, fault: Fault | None) -> None:
        if "X-YATAI-API-TOKEN" in self.headers or "Authorization" in self.headers:
            self.cloud.problems.append(f"{self.command} {place}: the token went to the store of bytes")
        with self.cloud.lock:
            self.cloud.requests.append((self.command, f"/blob/{place}", None))
        if fields.get("signature", "") in {"", *self.cloud.ended}:
            self.send(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        elif self.command == "GET":
            self._give(self.cloud.blobs.get(place), fault)
        elif "uploadId" in fields:
            number = int(fields["partNumber"])
            self.cloud.parts[fields["uploadId"]][number] = body
            self.cloud.stored[number] += 1
            self.cloud.taken["up"] += len(body)
            self.send(200, b"", {"ETag": _etag(body)})
        else:
            self.cloud.blobs[place] = body
            self.cloud.taken["up"] += len(body)
            self.send(200, b"", {"ETag": _etag(body)})

    def _proxy(self, path: str, body: bytes, fault: Fault | None) -> None:
        found = _PLACE.fullmatch(path)
        key = tuple(found.groups()[:3])
        version = self.cloud.versions.get(key)
        with self.cloud.lock:
            self.cloud.requests.append((self.command, self.path, None))
        if version is None:
            self.send(404, b"{}")
        elif self.command == "GET":
            self._give(self.cloud.blobs.get("/".join(key)), fault)
        elif version["upload_status"] != "uploading":
            self.send(400, b'{"error": "this upload was not started"}')
        else:
            self.cloud.blobs["/".join(key)] = body
            self.cloud.taken["up"] += len(body)
            version["upload_status"] = "success"  # nobody else says it
            self.send(200, b"{}")

    def _give(self, content: bytes | None, fault: Fault | None) -> None:
        if content is None:
            self.send(404, b"nothing")
            return
        first = re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) if self.cloud.ranges else None
        at = int(first[1]) if first else 0
        if at >= len(content) and first:
            self.send(416, b"")
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {at}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - at))
        self.end_headers()
        rest = content[at:]
        if fault and not fault.status:
            rest = rest[: fault.after]
            self.close_connection = True
        self.cloud.taken["down"] += len(rest)  # before the other side can have them, and look
        self.wfile.write(rest)
        if self.close_connection:
            self.wfile.flush()

    def _body(self, most: int = -1) -> bytes | None:
        """Return the body of the request, or at most its first `most` bytes, or None if the body is incomplete."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        size = int(self.headers.get("Content-Length") or 0)
        if most >= 0:
            return self.rfile.read(min(size, most))
        try:
            found = self.rfile.read(size)
        except OSError:
            return None
        return found if len(found) == size else None


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'
