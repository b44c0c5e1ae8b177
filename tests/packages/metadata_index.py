"""A package index (PEP 503) on the loopback interface, created from a lock. The wheels contain only metadata."""

import base64
import hashlib
import html
import io
import json
import tarfile
import zipfile
from contextlib import contextmanager
from urllib.parse import unquote

from tests.helpers.loopback import Handler, running

_TIME = (1980, 1, 1, 0, 0, 0)


def package(name, version, *dependencies, wheels=("py3-none-any",), sdist=False, requires_python="", extras=None):
    """Return a package in the form that `Index` requires."""
    return {
        "name": name,
        "version": version,
        "dependencies": dependencies,
        "extras": extras or {},
        "requires_python": requires_python,
        "files": [f"{name.replace('-', '_')}-{version}-{tag}.whl" for tag in wheels]
        + ([f"{name.replace('-', '_')}-{version}.tar.gz"] if sdist else []),
    }


def from_lock(lock):
    """Return all packages of a lock. The edges of the lock become requirements."""
    packages = []
    for entry in lock["packages"]:
        extras = {extra: [_text(edge) for edge in edges] for extra, edges in entry.get("extras", {}).items()}
        edges = [_text(edge) for edge in entry.get("dependencies", [])]
        files = [file for file in entry["files"] if file.endswith(".whl")] or list(entry["files"])
        packages.append({**entry, "dependencies": edges, "extras": extras, "requires_python": "", "files": files})
    return packages


def _text(edge):
    extras = f"[{','.join(edge['extras'])}]" if "extras" in edge else ""
    version = f"=={edge['version']}" if "version" in edge else ""
    marker = f" ; {edge['marker']}" if "marker" in edge else ""
    return f"{edge['name']}{extras}{version}{marker}"


class Index:
    """Holds the files by name, and the address of the running server."""

    def __init__(self, packages):
        self.files = {}
        self.pages = {}
        self.credentials = ""  # `login:password`, if it asks for some
        self.yanked = set()  # names of files (PEP 592)
        self.unhashed = set()  # names of files whose links have no hash
        self.pythons = {}  # Requires-Python by the name of a file
        self.uploaded = {}  # time of the upload by version (PEP 700); if not empty, pages are JSON
        self.requests = []
        for entry in packages:
            self.add(entry)

    def add(self, entry):
        metadata = _metadata(entry)
        for file in entry["files"]:
            self.files[file] = _wheel(file, metadata) if file.endswith(".whl") else _sdist(file, metadata)
            self.files[f"{file}.metadata"] = metadata.encode()
            self.pages.setdefault(entry["name"], []).append(file)
            self.pythons[file] = entry["requires_python"]

    def sha256(self, file):
        return hashlib.sha256(self.files[file]).hexdigest()

    def answer(self, path):
        parts = unquote(path).strip("/").split("/")
        if parts[0] == "files" and parts[-1] in self.files:
            return self.files[parts[-1]]
        if parts[0] == "simple" and parts[-1] in self.pages and self.uploaded:
            files = [self._entry(file) for file in self.pages[parts[-1]]]
            return json.dumps({"name": parts[-1], "files": files, "meta": {"api-version": "1.1"}}).encode()
        if parts[0] == "simple" and parts[-1] in self.pages:
            return (
                f"<!DOCTYPE html><html><body>{''.join(map(self._link, self.pages[parts[-1]]))}</body></html>".encode()
            )
        return None

    def _entry(self, file):
        time = self.uploaded.get(file.split("-")[1], "2020-01-01T00:00:00Z")
        hashes = {"sha256": self.sha256(file)}
        return {"filename": file, "url": f"/files/{file}", "hashes": hashes, "upload-time": time, "core-metadata": True}

    def _link(self, file):
        fragment = "" if file in self.unhashed else f"#sha256={self.sha256(file)}"
        marks = f' data-requires-python="{html.escape(self.pythons[file])}"' if self.pythons[file] else ""
        marks += ' data-yanked="broken"' if file in self.yanked else ""
        return f'<a href="/files/{file}{fragment}" data-core-metadata="true"{marks}>{file}</a>'


@contextmanager
def serve(index):
    """Yield the address of the index's simple API. The server runs until the block ends."""

    class Pages(Handler):
        def do_GET(self):
            index.requests.append(self.path)
            expected = f"Basic {base64.b64encode(index.credentials.encode()).decode()}"
            if index.credentials and self.headers.get("Authorization") != expected:
                self.send(401, headers={"WWW-Authenticate": 'Basic realm="index"'})
                return
            self.do_HEAD()

        def do_HEAD(self):  # uv asks for the size of a wheel at a URL
            body = index.answer(self.path)
            page = "application/vnd.pypi.simple.v1+json" if index.uploaded else "text/html"
            form = page if "/simple/" in self.path else "application/octet-stream"
            self.send(200 if body is not None else 404, body or b"", {"Content-Type": form})

    with running(Pages) as server:
        yield f"http://{server.host}/simple"


def _metadata(entry):
    lines = ["Metadata-Version: 2.2", f"Name: {entry['name']}", f"Version: {entry['version']}"]
    lines += [f"Requires-Python: {entry['requires_python']}"] if entry["requires_python"] else []
    lines += [f"Requires-Dist: {text}" for text in entry["dependencies"]]
    for extra, texts in entry["extras"].items():
        lines.append(f"Provides-Extra: {extra}")
        for text in texts:
            requirement, _, marker = text.partition(" ; ")
            condition = f"({marker}) and extra == '{extra}'" if marker else f"extra == '{extra}'"
            lines.append(f"Requires-Dist: {requirement} ; {condition}")
    return "\n".join([*lines, "", ""])


def _wheel(file, metadata):
    directory = "-".join(file.split("-")[:2]) + ".dist-info"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        tag = "-".join(file.removesuffix(".whl").split("-")[-3:])
        wheel = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
        for name, text in (("METADATA", metadata), ("WHEEL", wheel), ("RECORD", "")):
            archive.writestr(zipfile.ZipInfo(f"{directory}/{name}", _TIME), text)
    return content.getvalue()


def _sdist(file, metadata):
    project = '[build-system]\nrequires = ["none-is-needed"]\nbuild-backend = "none"\n'
    return archive(file.removesuffix(".tar.gz"), {"PKG-INFO": metadata, "pyproject.toml": project})


def archive(directory, files):
    """Return a source distribution with files in a directory."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{directory}/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    import gzip

    return gzip.compress(content.getvalue(), mtime=0)


def uv_that_distrusts(directory, uv):
    """Return a uv that trusts only the system's certificates, as with a company's proxy."""
    program = directory / "distrusting_uv"
    program.write_text(f"""\
#!/bin/sh
case " $* " in *" --system-certs "*|*" --offline "*) exec "{uv}" "$@" ;; esac
echo "error: Failed to fetch: \\`$UV_DEFAULT_INDEX\\`" >&2
echo "  Caused by: invalid peer certificate: UnknownIssuer" >&2
exit 2
""")
    program.chmod(0o755)
    return program
