"""A fake server for Dropbox's HTTP API, written from its documentation: the calls for uploads and downloads."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from servers import Server

TOKEN, REFRESH = "sl.s3cr3t-t0ken", "s3cr3t-refresh"


def content_hash(data: bytes) -> str:
    """Return Dropbox's content hash: the SHA-256 of the SHA-256 digests of blocks of 4 MiB."""
    blocks = [hashlib.sha256(data[at : at + (4 << 20)]).digest() for at in range(0, len(data), 4 << 20)]
    return hashlib.sha256(b"".join(blocks)).hexdigest()


class Dropbox(Server):
    """Stores files by path, and upload sessions by number."""

    class _Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass

    def __init__(self, directory) -> None:
        self.files: dict[str, bytes] = {}
        self.revisions: dict[str, bytes] = {}
        self.sessions: dict[str, bytes] = {}
        self.begun = 0
        self.asked: list[tuple[str, dict]] = []
        self._server = self._Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, name, port=0):
        return f"dropbox://{name}"

    def environment(self, port=0):
        return {"DROPBOX_ENDPOINT": f"http://127.0.0.1:{port or self.port}", "DROPBOX_ACCESS_TOKEN": TOKEN}

    def put(self, name, data):
        self.files[f"/{name}"] = data
        self.revisions[self.revision(data)] = data

    def get(self, name):
        return self.files.get(f"/{name}")

    def names(self):
        return [path[1:] for path in self.files]

    def clear(self):
        self.files.clear()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def revision(data):
        return hashlib.sha256(data).hexdigest()[:16]

    def about(self, path):
        data = self.files[path]
        return {
            ".tag": "file",
            "name": path.rpartition("/")[2],
            "path_display": path,
            "rev": self.revision(data),
            "size": len(data),
            "content_hash": content_hash(data),
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if len(body) != int(self.headers.get("Content-Length", 0)):
            self.close_connection = True
            return
        if self.path == "/oauth2/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            good = form == {"grant_type": "refresh_token", "refresh_token": REFRESH, "client_id": "key"}
            self._json(200 if good else 400, {"access_token": TOKEN} if good else {"error": "invalid_grant"})
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json(401, {"error_summary": "invalid_access_token/", "error": {".tag": "invalid_access_token"}})
            return
        verb = self.path.removeprefix("/2/files/")
        about = json.loads(self.headers.get("Dropbox-API-Arg") or body)
        owner.asked.append((verb, about))
        getattr(self, verb.replace("/", "_"))(owner, about, body)

    def get_metadata(self, owner, about, body):
        if about["path"] in owner.files:
            self._json(200, owner.about(about["path"]))
        else:
            self._no({".tag": "path", "path": {".tag": "not_found"}})

    def download(self, owner, about, body):
        data = owner.revisions.get(about["path"].removeprefix("rev:"), owner.files.get(about["path"]))
        if data is None:
            self._no({".tag": "path", "path": {".tag": "not_found"}})
            return
        start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        part = data[int(start) : int(last) + 1]
        self._send(206, part, {"Content-Range": f"bytes {start}-{last}/{len(data)}"})

    def upload_session_start(self, owner, about, body):
        owner.begun += 1
        session = f"session{owner.begun}"
        owner.sessions[session] = body
        self._json(200, {"session_id": session})

    def upload_session_append_v2(self, owner, about, body):
        cursor = about["cursor"]
        held = owner.sessions[cursor["session_id"]]
        if cursor["offset"] != len(held):
            self._no({".tag": "incorrect_offset", "correct_offset": len(held)})
        elif about.get("content_hash") not in (None, content_hash(body)):
            self._no({".tag": "content_hash_mismatch"})
        else:
            owner.sessions[cursor["session_id"]] = held + body
            self._json(200, None)

    def upload_session_finish(self, owner, about, body):
        cursor, commit = about["cursor"], about["commit"]
        held = owner.sessions.get(cursor["session_id"])
        if held is None:
            self._no({".tag": "lookup_failed", "lookup_failed": {".tag": "not_found"}})
            return
        if cursor["offset"] != len(held):
            self._no(
                {".tag": "lookup_failed", "lookup_failed": {".tag": "incorrect_offset", "correct_offset": len(held)}}
            )
            return
        owner.put(commit["path"][1:], held)
        del owner.sessions[cursor["session_id"]]
        self._json(200, owner.about(commit["path"]))

    def _no(self, error):
        self._json(409, {"error_summary": error[".tag"], "error": error})

    def _json(self, status, value):
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
