"""Stores logins to registries in docker's configuration file, or in the credential helper that the file selects."""

from __future__ import annotations

import json
from base64 import b64encode

from rules_bento.archives.atomic import write_error, write_private
from rules_bento.errors import BentoError
from rules_bento.registry import auth
from rules_bento.registry.client import Registries
from rules_bento.registry.reference import Reference
from rules_bento.typing_lite import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    from pathlib import Path


def log_in(host: str, username: str, password: str, insecure: Sequence[str] = ()) -> str:
    """Store a login that the registry accepts. Returns the name of the credential helper, or an empty string.

    Raises BentoError if the registry rejects the login. A login that existed is then restored.
    """
    reference = _reference(host)
    path, document = _read()
    helper = _helper(document, reference)
    if helper:
        before = auth.run_helper(helper, reference.credentials_key, path)
        _store(helper, reference, username, password, path)
    else:
        before = None
        secret = b64encode(f"{username}:{password}".encode()).decode()
        entries = _without(document.get("auths") or {}, reference)
        _write(path, document | {"auths": {**entries, reference.credentials_key: {"auth": secret}}})
    try:
        with Registries(insecure) as registries:
            registries.repository(reference).registry.request(
                "GET", "/v2/", frozenset(), expect={200}, what=f"log in to {reference.registry}"
            )
    except BaseException:
        if not helper:
            _write(path, document)
        elif before is not None:
            _store(helper, reference, before.username, before.password, path)
        else:
            auth.run_helper(helper, reference.credentials_key, path, "erase")
        raise
    return helper


def log_out(host: str) -> bool:
    """Remove the login for a registry. Returns whether a login existed."""
    reference = _reference(host)
    path, document = _read()
    helper = _helper(document, reference)
    existed = bool(helper and auth.run_helper(helper, reference.credentials_key, path))
    if existed:
        auth.run_helper(helper, reference.credentials_key, path, "erase")
    entries = document.get("auths") or {}
    kept = _without(entries, reference)
    if kept != entries:
        _write(path, document | {"auths": kept})
    return existed or kept != entries


def _reference(host: str) -> Reference:
    host = host.removeprefix("https://").removeprefix("oci://").rstrip("/")
    if "/" in host or "@" in host:
        problem = f"{host!r} isn't the host of a registry"
        raise BentoError(problem, remedy="Use a host such as registry.example.com:5000.")
    return Reference.from_url(f"oci://{host}/login")


def _read() -> tuple[Path, dict[str, Any]]:
    path = auth.config_file()
    return path, auth.read_config(path) if path.is_file() else {}


def _helper(document: dict[str, Any], reference: Reference) -> str:
    helpers = document.get("credHelpers") or {}
    return str(helpers.get(reference.credentials_key) or document.get("credsStore") or "")


def _without(entries: dict[str, Any], reference: Reference) -> dict[str, Any]:
    names = {reference.registry, auth.normalize(reference.credentials_key)}
    return {name: entry for name, entry in entries.items() if auth.normalize(name) not in names}


def _store(helper: str, reference: Reference, username: str, password: str, path: Path) -> None:
    login = {"ServerURL": reference.credentials_key, "Username": username, "Secret": password}
    auth.run_helper(helper, login["ServerURL"], path, "store", json.dumps(login))


def _write(path: Path, document: dict[str, Any]) -> None:
    """Replace the file. Follows a link, as docker does."""
    path = path.resolve()
    try:
        write_private(path, (json.dumps(document, indent="\t") + "\n").encode())
    except OSError as error:
        raise write_error(path, error) from None
