"""Credentials, from where users keep them already: docker's and podman's files, their helpers, netrc.

Never from a command line, and nothing here ever prints one.
"""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file, shapes
from rules_bento.formats.json import read_json
from rules_bento.programs import which
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.registry.reference import Reference

_HELPER_TIME = 60  # seconds: a keyring may ask its user
# The shape of docker's config file. The entries in `auths` are checked when one is used.
_FILE = {"credHelpers?": {...: str}, "credsStore?": str, "auths?": {}}
_TOKEN_USER = "<token>"  # what helpers answer as the name where the secret is an identity token


@dataclass(frozen=True)
class Credentials:
    """Holds a name and a password, or a token in their place. No repr shows them."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # is exchanged for an access token (OAuth 2)
    registry_token: str = field(default="", repr=False)  # is an access token


def find(reference: Reference) -> Credentials | None:
    """Return the credentials for a registry, or for the repository where the file has them for each.

    Looked through, until something is found: docker's `config.json` (`DOCKER_CONFIG`), podman's and skopeo's
    `auth.json` (`REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`), and the netrc file (`NETRC`). In each of the first two
    `credHelpers`, `credsStore` and `auths` count, in this order. Raises BentoError for a file that cannot be read,
    and a helper that fails; it names the file, and nothing of what is in it.
    """
    for file in _files():
        if file.is_file():
            credentials = _in_file(_load(file), file, reference)
            if credentials:
                return credentials
    return _in_netrc(reference)


def places() -> str:
    """Return the files that were looked through, for error messages."""
    return ", ".join(str(file) for file in _files() if file.is_file()) or "no file of credentials"


def _files() -> Iterator[Path]:
    yield Path(os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()) / "config.json"
    if os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(os.environ["REGISTRY_AUTH_FILE"])
    if os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(os.environ["XDG_RUNTIME_DIR"], "containers", "auth.json")
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    yield Path(configuration, "containers", "auth.json")


def _load(file: Path) -> dict[str, Any]:
    try:
        document = read_json(read_file(file), str(file))
    except (OSError, FormatError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise BentoError(f"{file}: credentials cannot be read: {reason}. Repair the file, or log in again.") from None
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if value}
    shapes.check(document, _FILE, f"{file}: credentials cannot be read", "Repair the file, or log in again.")
    settings: dict[str, Any] = document
    return settings


def _in_file(document: dict[str, Any], file: Path, reference: Reference) -> Credentials | None:
    helpers: dict[str, str] = document.get("credHelpers", {})
    for key in _keys(reference):
        helper = next((helper for name, helper in helpers.items() if _normal(name) == key), "")
        if helper:
            return _ask(helper, reference.credentials_key, file)
    store = document.get("credsStore")
    credentials = _ask(store, reference.credentials_key, file) if store else None
    if credentials:
        return credentials
    auths: dict[str, Any] = document.get("auths", {})
    for key in _keys(reference):
        for name, entry in auths.items():
            if _normal(name) == key and entry:
                return _decode(entry, file, name)
    return None


def _keys(reference: Reference) -> Iterator[str]:
    """Yield the names that an entry may have, the most special first.

    Podman's files know repositories, docker's do not.
    """
    parts = reference.repository.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join([reference.registry, *parts[:count]])
    yield reference.registry
    yield _normal(reference.credentials_key)


def _normal(name: str) -> str:
    """Return an entry's name without what `docker login` puts around the host: a scheme, and `/v1/` or `/v2/`."""
    name = name.partition("://")[2] or name
    host, _, path = name.rstrip("/").partition("/")
    return f"{host}/{path}" if path and path not in ("v1", "v2") else host


def _decode(entry: dict[str, Any], file: Path, name: str) -> Credentials | None:
    """Return an entry of `auths`."""
    shapes.check(entry, {"auth?": str}, f"{file}: the entry {name!r}", "Log in again.")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, colon, password = b64decode(entry["auth"]).decode().rstrip("\0").partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise BentoError(f"{file}: the entry {name!r} does not hold a name and a password. Log in again.") from None
    identity, registry = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    return Credentials(username, password, identity, registry) if username or identity or registry else None


def _ask(helper: str, key: str, file: Path) -> Credentials | None:
    """Return what `docker-credential-<helper> get` answers; None for no credentials.

    The protocol is that of docker-credential-helpers.
    """
    import subprocess

    program = f"docker-credential-{helper}"
    path = which(program)
    if not path:
        raise BentoError(
            f"{file}: wants credentials for {key} from {program}, but it is not on PATH. Install it, or take it out "
            "of the file."
        )
    try:
        done = subprocess.run([path, "get"], input=key.encode(), capture_output=True, check=False, timeout=_HELPER_TIME)
    except (OSError, subprocess.TimeoutExpired):
        raise BentoError(
            f"{file}: wants credentials for {key} from {program}, but it could not be run to its end. Repair it, or "
            "take it out of the file."
        ) from None
    if done.returncode:
        if b"credentials not found" in done.stdout + done.stderr:
            return None
        # What it printed stays unseen: there is no telling what is in it.
        raise BentoError(
            f"{program} has no answer for {key} (exit status {done.returncode}). To see why: echo {key} | {program} get"
        )
    try:
        answer = read_json(done.stdout, program)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (FormatError, KeyError, TypeError):
        raise BentoError(
            f"{program} answered for {key} with something else than JSON of a name and a secret."
        ) from None
    return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)


def _in_netrc(reference: Reference) -> Credentials | None:
    from rules_bento.net import host_settings

    entry = host_settings.netrc_login(urlsplit(f"//{reference.api_host}").hostname or "")
    return Credentials(*entry) if entry else None
