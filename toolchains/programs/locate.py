"""Prints the URL of a file with a given hash, and the credentials for this URL, which it finds as uv does.

    locate.py UV REQUIREMENT FILE SHA256 INDEXES PYTHON

INDEXES is JSON in the format of indexes.bzl. PYTHON is the version for which a package hub selected the file (`X.Y` or
`X.Y.Z`), or empty for the version of this interpreter. The output is a JSON object with `url` and, if the server
requires them, `login` and `password`, or `token`. For a host that is trusted without a certificate, it contains the
`path` of the downloaded file instead. Only Bazel's server reads the output, from a pipe, so that no file, argument, or
message contains credentials. The program requires only the standard library of any Python 3, because repository rules
run it.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import importlib.util
import json
import netrc
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

PATIENCE = 60.0
"""Seconds without a byte until a download fails, as in `rules_bento.base.net.limits`."""

BODY = 1 << 40
"""Maximum size of a file in bytes, as in `rules_bento.base.net.limits`."""

_RELEASE = r"[a-z0-9-]+==[A-Za-z0-9.!+_-]+"  # uv might read other strings as several requirements
_NO_FILE = "the index has no file with this hash. Update the lock if the release was deleted or replaced."
_PORTS = {"http": 80, "https": 443}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


def _load(path: Path) -> Any:
    """Load a module of the library, which repository rules can't import, from its file in this repository."""
    spec = importlib.util.spec_from_file_location(path.stem, str(path))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_SECRETS = _load(Path(__file__).absolute().parents[2] / "py/rules_bento/base/net/secret_hosts.py")


def main() -> int:
    """Print the location of a file. Returns 1, with a message on standard error, if uv doesn't find it."""
    uv, requirement, filename, sha256, text, python = sys.argv[1:]
    indexes = json.loads(text or "{}")
    # Programs in a directory that depends on the working directory aren't trusted.
    directories = filter(os.path.isabs, os.environ.get("PATH", "").split(os.pathsep))
    os.environ["PATH"] = os.pathsep.join(directories)
    try:
        if "/" in filename or filename in ("", ".", ".."):
            raise ValueError(f"the lock is damaged: invalid file name {filename!r}. Update the lock.")
        if not re.fullmatch(_RELEASE, requirement):
            raise ValueError(f"the lock is damaged: expected NAME==VERSION, got {requirement!r}. Update the lock.")
        local = _find_in_directories(indexes, filename, sha256)
        location = {"url": local} if local else _locate(uv, requirement, filename, sha256, indexes, python)
        if urlsplit(location["url"]).hostname in _hosts(indexes):
            location = {"path": _download(location, filename)}
    except (LookupError, OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"{_without_secrets(str(error.args[0] if isinstance(error, LookupError) else error))}\n")
        return 1
    sys.stdout.write(json.dumps(location))
    return 0


def _find_in_directories(indexes: dict[str, Any], filename: str, sha256: str) -> str | None:
    for link in indexes.get("find_links", []):
        file = Path(link, filename)
        if "://" not in link and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
            return file.absolute().as_uri()
    return None


def _locate(
    uv: str, requirement: str, filename: str, sha256: str, indexes: dict[str, Any], python: str
) -> dict[str, str]:
    command = [uv, "pip", "compile", "--quiet", "--no-deps", "--universal", "--no-header", "--format=pylock.toml"]
    command += ["--color=never", "--python", sys.executable, *_flags(indexes)]
    # uv ignores files that don't support this version, or whose Requires-Python excludes it. uv ignores upper bounds.
    command += ["--python-version", ".".join([*python.split(".")[:2], "99"])] if python else []
    command += [*(["--only-binary=:all:"] if filename.endswith(".whl") else []), "-"]
    problem = ""
    # The cache of uv suffices for a known release. The authority of a company is in the certificates of the system.
    for more in (["--offline"], [], ["--system-certs"]):
        if more == ["--system-certs"] and "UnknownIssuer" not in problem:
            break
        done = _run([*command, *more], f"{requirement}\n", _environment(indexes))
        url = _find_url(done.stdout, sha256) if done.returncode == 0 else None
        if url:
            return {"url": url} | (_credentials(uv, url, indexes) if accepts_secrets(url, indexes) else {})
        problem = done.stderr.strip() or _NO_FILE
    raise LookupError(problem)


def _run(command: list[str], text: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run uv in a directory of this user, so that uv reads no settings in the parents, which can be of others."""
    with tempfile.TemporaryDirectory(prefix="rules_bento-locate-") as directory:
        Path(directory, "pyproject.toml").write_text("[tool.uv.workspace]\n", "utf-8")
        options: dict[str, Any] = {"check": False, "capture_output": True, "text": True, "cwd": directory}
        return subprocess.run(command, input=text, env=variables, **options)


def accepts_secrets(url: str, indexes: dict[str, Any]) -> bool:
    """Return whether secrets of the user can be sent to a server: over https to a verified host, or to this machine."""
    return bool(_SECRETS.is_safe(url, indexes.get("trusted_hosts", [])))


def _environment(indexes: dict[str, Any]) -> dict[str, str]:
    """Return the variables for uv. If an index doesn't accept secrets, uv finds none for any of the indexes."""
    addresses = [*indexes.get("extra", []), indexes.get("default", ""), *indexes.get("find_links", [])]
    kept: dict[str, str] = _SECRETS.variables_for_addresses(addresses, indexes.get("trusted_hosts", []), os.environ)
    return kept


def _flags(indexes: dict[str, Any]) -> list[str]:
    flags = ["--default-index", indexes["default"]] if "default" in indexes else []
    for flag, key in (("--index", "extra"), ("--find-links", "find_links"), ("--allow-insecure-host", "trusted_hosts")):
        for value in indexes.get(key, []):
            flags += [flag, value]
    return flags + (["--no-index"] if indexes.get("no_index") else [])


def _find_url(pylock: str, sha256: str) -> str | None:
    """Return the URL of the file with a hash in a pylock.toml (PEP 751), or None."""
    match = re.search(r'url = "([^"]*)"[^{}]*\{[^{}]*' + sha256, pylock)
    return match[1] if match else None


def _credentials(uv: str, url: str, indexes: dict[str, Any]) -> dict[str, str]:
    """Return the credentials for the server of a URL from the first source that contains them, or an empty dict."""
    name = ""
    for login, password in _from_environment(url, indexes):
        name = login
        if password:
            return {"login": login, "password": password}
    host = urlsplit(url).hostname or ""
    found = _from_netrc(host)
    if found:
        return found
    return _from_uv(uv, url) or _from_keyring(url, host, name)


def _from_environment(url: str, indexes: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the login and password of each index on the same server as `url`, from its variables or its URL."""
    entries = [*indexes.get("extra", []), indexes.get("default", "")]
    for variable in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        entries += os.environ.get(variable, "").split()
    for entry in entries:
        name, _, address = entry.partition("=") if re.match(r"[\w.-]+=\w+:", entry) else ("", "", entry)
        parts, target = urlsplit(address), urlsplit(url)
        if (parts.scheme, parts.hostname, parts.port) != (target.scheme, target.hostname, target.port):
            continue
        if parts.username or parts.password:
            yield unquote(parts.username or ""), unquote(parts.password or "")
        variable = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        if name and variable + "_USERNAME" in os.environ:
            yield os.environ[variable + "_USERNAME"], os.environ.get(variable + "_PASSWORD", "")


def _from_netrc(host: str) -> dict[str, str]:
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        # The entry `default` doesn't name the host, which a project selects.
        entry = netrc.netrc(str(path)).hosts.get(host) if path.is_file() else None
    except netrc.NetrcParseError:
        return {}
    return {"login": entry[0], "password": entry[2] or ""} if entry else {}


def _from_uv(uv: str, url: str) -> dict[str, str]:
    """Return the credentials that `uv auth login` stored for a URL, or an empty dict."""
    command = [uv, "auth", "helper", "--preview-features", "auth-helper", "--protocol=bazel", "get"]
    done = _run(command, json.dumps({"uri": url}), os.environ)
    headers = json.loads(done.stdout).get("headers", {}) if done.returncode == 0 else {}
    kind, _, value = headers.get("Authorization", [""])[0].partition(" ")
    if kind == "Basic":
        login, _, password = base64.b64decode(value).decode().partition(":")
        return {"login": login, "password": password}
    return {"token": value} if kind == "Bearer" else {}


def _from_keyring(url: str, host: str, login: str) -> dict[str, str]:
    program = shutil.which("keyring")
    if os.environ.get("UV_KEYRING_PROVIDER") != "subprocess" or not program:
        return {}
    for service in (url, host):
        command = [program, "get", service, login] if login else [program, "get", "--mode", "creds", service]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if done.returncode == 0 and lines:
            return {"login": login or lines[0], "password": lines[-1]}
    return {}


def _hosts(indexes: dict[str, Any]) -> set[str]:
    return {host.partition(":")[0] for host in indexes.get("trusted_hosts", [])}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Handler that follows redirects, and sends credentials only to the server that they are for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise ValueError(
                f"{urlsplit(req.full_url).hostname}: the server redirects from https to http. Use another index."
            )
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following and _origin(newurl) != _origin(req.full_url):
            following.remove_header("Authorization")
        return following


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _download(location: dict[str, str], filename: str) -> str:
    """Download a file without verifying the certificate of its host, and return its path. Bazel verifies the hash."""
    request = urllib.request.Request(location["url"])
    if "login" in location:
        basic = base64.b64encode(f"{location['login']}:{location['password']}".encode()).decode()
        request.add_header("Authorization", f"Basic {basic}")
    elif "token" in location:
        request.add_header("Authorization", f"Bearer {location['token']}")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    path = Path("download", filename)
    path.parent.mkdir(exist_ok=True)
    opener = urllib.request.build_opener(_Redirects, urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=PATIENCE) as response, path.open("wb") as file:
        size = 0
        while piece := response.read(1 << 20):
            size += len(piece)
            if size > BODY:
                problem = f"the file exceeds the limit of {BODY} bytes"
                raise ValueError(f"{filename}: {problem}. Lock another version of the package.")
            file.write(piece)
    return str(path)


def _without_secrets(text: str) -> str:
    """Remove the credentials and the query of each URL in a message."""
    text = re.sub(r"://[^/@\s]+@", "://", text)
    cut = lambda match: ")".join(part.partition("?")[0] for part in match[0].split(")"))  # noqa: E731
    return re.sub(r"://[^\s'\"`<>]*", cut, text)


if __name__ == "__main__":
    sys.exit(main())
