"""Stores logins to registries in docker's configuration file, or in the credential helper that the file selects."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import contextmanager

from rules_bento.base.archives.atomic import locked_directory, write_error, write_private
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Sequence
from rules_bento.images.registry import RegistryError, auth
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.reference import Reference

if TYPE_CHECKING:
    from pathlib import Path


def log_in(host: str, username: str, password: str, insecure: Sequence[str] = ()) -> str:
    """Store a login that the registry accepts. Returns the name of the credential helper, or an empty string.

    Raises BentoError, and changes nothing, if the registry rejects the login.
    """
    reference = _reference(host)
    with Registries(insecure) as registries:
        registry = registries.repository(reference).registry
        registry.login = auth.Credentials(username, password)
        try:
            registry.request("GET", "/v2/", frozenset(), expect={200}, what=registry.host)
        except RegistryError as error:
            if error.status == 401:
                error.problem, error.remedy = "incorrect user name or password", "Correct both, or use an access token."
            error.place = registry.host  # not a repository
            raise
    with _locked_config() as (path, document):
        helper = _helper(document, reference)
        if helper:
            login = {"ServerURL": reference.credentials_key, "Username": username, "Secret": password}
            auth.run_helper(helper, login["ServerURL"], path, "store", json.dumps(login))
        else:
            secret = b64encode(f"{username}:{password}".encode()).decode()
            entries = _without(document.get("auths") or {}, reference)
            _write(path, document | {"auths": {**entries, reference.credentials_key: {"auth": secret}}})
    return helper


def log_out(host: str) -> bool:
    """Remove the login for a registry. Returns whether a login existed."""
    reference = _reference(host)
    if not auth.config_file().is_file():
        return False
    with _locked_config() as (path, document):
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


@contextmanager
def _locked_config() -> Iterator[tuple[Path, dict[str, Any]]]:  # writes: output, docker's file of the user
    """Yield docker's file and its contents. No other `bento` process changes the file during the `with` block."""
    path = auth.config_file()
    try:
        with locked_directory(path.resolve().parent):
            yield path, auth.read_config(path) if path.is_file() else {}
    except OSError as error:
        raise write_error(path, error) from None


def _helper(document: dict[str, Any], reference: Reference) -> str:
    helpers = document.get("credHelpers") or {}
    return str(helpers.get(reference.credentials_key) or document.get("credsStore") or "")


def _without(entries: dict[str, Any], reference: Reference) -> dict[str, Any]:
    names = {reference.registry, auth.normalize(reference.credentials_key)}
    return {name: entry for name, entry in entries.items() if auth.normalize(name) not in names}


def _write(path: Path, document: dict[str, Any]) -> None:  # writes: output, docker's file of the user
    """Replace the file. Follows a link, as docker does."""
    write_private(path.resolve(), (json.dumps(document, indent="\t") + "\n").encode())
