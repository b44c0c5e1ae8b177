"""A fake server for Dropbox's HTTP API, written from its documentation: the calls that dropboxdrivefs makes."""

from __future__ import annotations

import hashlib
import json
import ssl
from urllib.parse import parse_qs

from tests.helpers import loopback
from tests.transports.servers import Server, certificate

TOKEN, REFRESH = "sl.s3cr3t-t0ken", "s3cr3t-refresh"


def content_hash(data: bytes) -> str:
    """Return Dropbox's content hash: the SHA-256 of the SHA-256 digests of blocks of 4 MiB."""
    blocks = [hashlib.sha256(data[at : at + (4 << 20)]).digest() for at in range(0, len(data), 4 << 20)]
    return hashlib.sha256(b"".join(blocks)).hexdigest()


class Dropbox(Server):
    """Stores files by path, and upload sessions by number."""

    def __init__(self, directory) -> None:
        from dropbox import dropbox_client

        self.files: dict[str, bytes] = {}
        self.sessions: dict[str, bytes] = {}
        self.asked: list[tuple[str, dict]] = []
        self.truncates = False  # answers to requests for files
        self.certificate = certificate(directory)
        server = loopback.Server(_Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(directory / "both.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.owner, self.port, self.close = self, server.server_port, server.close
        # The client reads its host from the environment only once.
        dropbox_client.API_HOST = dropbox_client.API_CONTENT_HOST = server.host
        dropbox_client._DropboxTransport.refresh_access_token.__defaults__ = (server.host, None)
        server.start()

    def url(self, name, port=0):
        return f"dropbox://{name}"

    def environment(self, port=0):
        certificates = {"SSL_CERT_FILE": str(self.certificate), "REQUESTS_CA_BUNDLE": str(self.certificate)}
        return {"DROPBOX_ACCESS_TOKEN": TOKEN, **certificates}

    def put(self, name, data):
        self.files[f"/{name}"] = data

    def get(self, name):
        return self.files.get(f"/{name}")

    def names(self):
        return [path[1:] for path in self.files]

    def clear(self):
        self.files.clear()

    @staticmethod
    def revision(data):
        return hashlib.sha256(data).hexdigest()[:16]

    def about(self, path):
        data = self.files[path]
        return {
            ".tag": "file",
            "name": path.rpartition("/")[2],
            "path_display": path,
            "id": "id:a",
            "client_modified": "2026-01-01T00:00:00Z",
            "server_modified": "2026-01-01T00:00:00Z",
            "rev": self.revision(data),
            "path_lower": path.lower(),
            "is_downloadable": True,
            "size": len(data),
            "content_hash": content_hash(data),
        }


class _Handler(loopback.Handler):
    def do_GET(self):
        """Answer a request for a temporary link."""
        data = self.server.owner.files[self.path]
        start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        part = data[int(start) : int(last) + 1]
        if self.server.owner.truncates:
            part = b""
        self.send(206, part, {"Content-Range": f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}"})

    def do_POST(self):
        owner = self.server.owner
        body = self.body()
        if self.path == "/oauth2/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            good = form == {"grant_type": "refresh_token", "refresh_token": REFRESH, "client_id": "key"}
            answer = {"access_token": TOKEN, "expires_in": 14400} if good else {"error": "invalid_grant"}
            self._json(200 if good else 400, answer)
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json(401, {"error_summary": "invalid_access_token/", "error": {".tag": "invalid_access_token"}})
            return
        verb = self.path.removeprefix("/2/files/")
        about = json.loads(self.headers.get("Dropbox-API-Arg") or body)
        owner.asked.append((verb, about))
        getattr(self, verb.replace("/", "_"))(owner, about, body)

    def get_temporary_link(self, owner, about, body):
        link = f"https://127.0.0.1:{owner.port}{about['path']}"
        metadata = owner.about(about["path"])
        del metadata[".tag"]
        self._json(200, {"metadata": metadata, "link": link})

    def copy(self, owner, about, body):
        if about["to_path"] in owner.files:
            self._no({".tag": "to", "to": {".tag": "conflict", "conflict": {".tag": "file"}}})
        else:
            owner.files[about["to_path"]] = owner.files[about["from_path"]]
            self._json(200, owner.about(about["to_path"]))

    def delete_v2(self, owner, about, body):
        if about["path"] in owner.files:
            metadata = owner.about(about["path"])
            del owner.files[about["path"]]
            self._json(200, {"metadata": metadata})
        else:
            self._no({".tag": "path_lookup", "path_lookup": {".tag": "not_found"}})

    def get_metadata(self, owner, about, body):
        if about["path"] in owner.files:
            self._json(200, owner.about(about["path"]))
        else:
            self._no({".tag": "path", "path": {".tag": "not_found"}})

    def upload_session_start(self, owner, about, body):
        session = f"session{len(owner.sessions)}"
        owner.sessions[session] = body
        self._json(200, {"session_id": session})

    def upload_session_append_v2(self, owner, about, body):
        cursor = about["cursor"]
        held = owner.sessions[cursor["session_id"]]
        if cursor["offset"] != len(held):
            self._no({".tag": "incorrect_offset", "correct_offset": len(held)})
        else:
            owner.sessions[cursor["session_id"]] = held + body
            self._json(200, None)

    def upload_session_finish(self, owner, about, body):
        cursor, commit = about["cursor"], about["commit"]
        owner.put(commit["path"][1:], owner.sessions.pop(cursor["session_id"]) + body)
        self._json(200, owner.about(commit["path"]))

    def _no(self, error):
        self._json(409, {"error_summary": error[".tag"], "error": error})

    def _json(self, status, value):
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})
