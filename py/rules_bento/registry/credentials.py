"""Finds credentials where other tools store them: docker's and podman's files, credential helpers, and netrc.

Credentials are never read from a command line and never printed.
"""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file, schema
from rules_bento.formats.json import read_json
from rules_bento.programs import which
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.registry.reference import Reference

_HELPER_TIMEOUT = 60  # seconds, because a keyring can prompt its user
# Schema of docker's config file. The entries in `auths` are checked on use.
_CONFIG_SHAPE = {"credHelpers?": {...: str}, "credsStore?": str, "auths?": {}}
_TOKEN_USER = "<token>"  # the username that helpers return if the secret is an identity token


@dataclass(frozen=True)
class Credentials:
    """Holds a username and a password, or a token. Secrets are excluded from the repr."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # exchanged for an access token (OAuth 2)
    registry_token: str = field(default="", repr=False)  # an access token


def find_credentials(reference: Reference) -> Credentials | None:
    """Return the credentials for a registry, or for a repository if the file has an entry for it.

    Searches docker's `config.json` (`DOCKER_CONFIG`), podman's and skopeo's `auth.json` (`REGISTRY_AUTH_FILE`,
    `XDG_RUNTIME_DIR`), and the netrc file (`NETRC`), in this order; in each of the JSON files `credHelpers`,
    `credsStore`, and `auths`. Raises BentoError for an invalid file or a failed helper, without any of its content.
    """
    for file in _files():
        if file.is_file():
            credentials = _from_file(_read_config(file), file, reference)
            if credentials:
                return credentials
    return _from_netrc(reference)


def searched_files() -> str:
    """Return the searched files, for error messages."""
    return ", ".join(str(file) for file in _files() if file.is_file()) or "no file"


def _files() -> Iterator[Path]:
    yield Path(os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()) / "config.json"
    if os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(os.environ["REGISTRY_AUTH_FILE"])
    if os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(os.environ["XDG_RUNTIME_DIR"], "containers", "auth.json")
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    yield Path(configuration, "containers", "auth.json")


def _read_config(file: Path) -> dict[str, Any]:
    try:
        document = read_json(read_file(file), str(file))
    except (OSError, FormatError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise BentoError(f"{file}: cannot read credentials: {reason}. Fix the file, or log in again.") from None
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if value}
    schema.validate(document, _CONFIG_SHAPE, f"{file}: cannot read credentials", "Fix the file, or log in again.")
    settings: dict[str, Any] = document
    return settings


def _from_file(document: dict[str, Any], file: Path, reference: Reference) -> Credentials | None:
    helpers: dict[str, str] = document.get("credHelpers", {})
    for key in _entry_names(reference):
        helper = next((helper for name, helper in helpers.items() if _normalize(name) == key), "")
        if helper:
            return _run_helper(helper, reference.credentials_key, file)
    store = document.get("credsStore")
    credentials = _run_helper(store, reference.credentials_key, file) if store else None
    if credentials:
        return credentials
    auths: dict[str, Any] = document.get("auths", {})
    for key in _entry_names(reference):
        for name, entry in auths.items():
            if _normalize(name) == key and entry:
                return _from_entry(entry, file, name)
    return None


def _entry_names(reference: Reference) -> Iterator[str]:
    """Yield the names that an entry can have, the most specific first.

    Podman's files can have entries for repositories, docker's can't.
    """
    parts = reference.repository.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join([reference.registry, *parts[:count]])
    yield reference.registry
    yield _normalize(reference.credentials_key)


def _normalize(name: str) -> str:
    """Return an entry's name without the scheme and the `/v1/` or `/v2/` that `docker login` adds to the host."""
    name = name.partition("://")[2] or name
    host, _, path = name.rstrip("/").partition("/")
    return f"{host}/{path}" if path and path not in ("v1", "v2") else host


def _from_entry(entry: dict[str, Any], file: Path, name: str) -> Credentials | None:
    """Return the credentials of an entry in `auths`."""
    schema.validate(entry, {"auth?": str}, f"{file}: entry {name!r}", "Log in again.")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, colon, password = b64decode(entry["auth"]).decode().rstrip("\0").partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise BentoError(f"{file}: entry {name!r} isn't a username and a password. Log in again.") from None
    identity, registry = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    return Credentials(username, password, identity, registry) if username or identity or registry else None


def _run_helper(helper: str, key: str, file: Path) -> Credentials | None:
    """Return the credentials from `docker-credential-<helper> get`; None if it has none.

    Implements the protocol of docker-credential-helpers.
    """
    import subprocess

    program = f"docker-credential-{helper}"
    path = which(program)
    if not path:
        raise BentoError(
            f"{file}: the credential helper {program} for {key} isn't on PATH. Install it, or remove it from the file."
        )
    try:
        done = subprocess.run(
            [path, "get"], input=key.encode(), capture_output=True, check=False, timeout=_HELPER_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        raise BentoError(
            f"{file}: the credential helper {program} for {key} failed or timed out. Fix it, or remove it "
            "from the file."
        ) from None
    if done.returncode:
        if b"credentials not found" in done.stdout + done.stderr:
            return None
        # Its output might contain secrets.
        raise BentoError(
            f"{program}: failed for {key} (exit code {done.returncode}). To see why, run `echo {key} | {program} get`."
        )
    try:
        answer = read_json(done.stdout, program)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (FormatError, KeyError, TypeError):
        raise BentoError(
            f"{program}: returned no JSON with Username and Secret for {key}. Fix or update the helper."
        ) from None
    return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)


def _from_netrc(reference: Reference) -> Credentials | None:
    from rules_bento.net import host_settings

    entry = host_settings.netrc_login(urlsplit(f"//{reference.api_host}").hostname or "")
    return Credentials(*entry) if entry else None
