"""Authenticates to a registry anonymously, with a username and password, or with a token for each scope.

Implements Basic authentication (RFC 7617) and the token authentication that the distribution project specifies
(`token.md` and `oauth.md` in `docs/spec/auth`).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, read_file, schema
from rules_bento.base.formats.json import read_json, read_object
from rules_bento.base.landlock import outside
from rules_bento.base.net import ConnectionLostError, limits
from rules_bento.base.net.host_settings import basic_authorization, netrc_login
from rules_bento.base.net.http_headers import challenges
from rules_bento.base.net.transfers import TRANSIENT
from rules_bento.base.net.urls import Origin, resolve
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Mapping
from rules_bento.images.registry import response_error

if TYPE_CHECKING:
    from rules_bento.base.net.transport import Transport
    from rules_bento.images.registry.reference import Reference


_LOG_IN = "Log in again, for example with `bento login`."
_HELPER_TIMEOUT = 60  # seconds, because a keyring can prompt its user
# Schema of docker's config file. The entries in `auths` are checked on use.
_CONFIG_SHAPE = {"credHelpers?": {...: str}, "credsStore?": str, "auths?": {}}
_TOKEN_USER = "<token>"  # the username that helpers return if the secret is an identity token


@dataclass(frozen=True)
class Credentials:
    """A username and a password, or a token. The repr omits secrets."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # exchanged for an access token (OAuth 2)
    registry_token: str = field(default="", repr=False)  # an access token


def find_credentials(reference: Reference) -> Credentials | None:
    """Find credentials in Docker and Podman credential files, then in netrc. Returns None if no entry matches."""
    for file in _files():
        if file.is_file() and (credentials := _from_file(read_config(file), file, reference)):
            return credentials
    entry = netrc_login(urlsplit(f"//{reference.api_host}").hostname or "")
    return Credentials(*entry) if entry else None


def searched_files() -> str:
    """Return the paths of the existing Docker and Podman credential files, separated by commas, or `no file`."""
    return ", ".join(str(file) for file in _files() if file.is_file()) or "no file"


def config_file() -> Path:
    """Return the path of docker's configuration file."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()) / "config.json"


def _files() -> Iterator[Path]:
    yield config_file()
    if os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(os.environ["REGISTRY_AUTH_FILE"])
    if os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(os.environ["XDG_RUNTIME_DIR"], "containers", "auth.json")
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    yield Path(configuration, "containers", "auth.json")


def read_config(file: Path) -> dict[str, Any]:
    """Read a Docker or Podman credential file. Raises BentoError if the file is invalid."""
    try:
        document = read_json(read_file(file), str(file))
    except (OSError, FormatError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise BentoError(f"cannot read the credentials: {reason}", place=str(file), remedy=_LOG_IN) from None
    settings: dict[str, Any] = document
    if isinstance(document, dict):
        settings = {key: value for key, value in document.items() if value}
    schema.validate(settings, _CONFIG_SHAPE, f"{file}: cannot read credentials", "Fix the file, or log in again.")
    return settings


def _from_file(document: dict[str, Any], file: Path, reference: Reference) -> Credentials | None:
    helpers: dict[str, str] = document.get("credHelpers", {})
    for key in _entry_names(reference):
        helper = next((helper for name, helper in helpers.items() if normalize(name) == key), "")
        if helper:
            return run_helper(helper, reference.credentials_key, file)
    store = document.get("credsStore")
    credentials = run_helper(store, reference.credentials_key, file) if store else None
    if credentials:
        return credentials
    auths: dict[str, Any] = document.get("auths", {})
    for key in _entry_names(reference):
        for name, entry in auths.items():
            if normalize(name) == key and entry:
                return _from_entry(entry, file, name)
    return None


def _entry_names(reference: Reference) -> Iterator[str]:
    """Yield possible names of a reference's entry, most specific first. Only podman supports repositories in names."""
    parts = reference.repository.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join([reference.registry, *parts[:count]])
    yield reference.registry
    yield normalize(reference.credentials_key)


def normalize(name: str) -> str:
    """Return an entry's name without the scheme and path (`/v1/` or `/v2/`) that `docker login` adds."""
    name = name.partition("://")[2] or name
    host, _, path = name.rstrip("/").partition("/")
    return f"{host}/{path}" if path and path not in ("v1", "v2") else host


def _from_entry(entry: dict[str, Any], file: Path, name: str) -> Credentials | None:
    schema.validate(entry, {"auth?": str}, f"{file}: entry {name!r}", _LOG_IN)
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, colon, password = b64decode(entry["auth"]).decode().rstrip("\0").partition(":")
        except ValueError:
            colon = ""
        if not colon:
            problem = f"the entry {name!r} contains no user name and password"
            raise BentoError(problem, place=str(file), remedy=_LOG_IN) from None
    identity, registry = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    return Credentials(username, password, identity, registry) if username or identity or registry else None


def run_helper(helper: str, key: str, file: Path, verb: str = "get", login: str = "") -> Credentials | None:
    """Return the credentials from `docker-credential-<helper> get`, or None if the helper finds none.

    For the verbs `store` and `erase`, returns None. The helper's input is `login` (JSON) for `store`, otherwise `key`.
    """
    import subprocess

    from rules_bento.base.programs import which

    program = f"docker-credential-{helper}"
    path = which(program)
    if not path:
        remedy = "Install the helper, or remove the helper from the file."
        raise BentoError(f"the credential helper {program} for {key} isn't on PATH", place=str(file), remedy=remedy)
    try:
        done = outside(
            lambda: subprocess.run(
                [path, verb], input=(login or key).encode(), capture_output=True, check=False, timeout=_HELPER_TIMEOUT
            )
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = "timed out" if isinstance(error, subprocess.TimeoutExpired) else "cannot be run"
        problem = f"the credential helper {program} for {key} {problem}"
        remedy = "Fix the helper, or remove the helper from the file."
        raise BentoError(problem, place=str(file), remedy=remedy) from None
    if verb != "get":
        if done.returncode:
            remedy = "Check the helper."
            raise BentoError(f"the credential helper failed to {verb} the login", place=program, remedy=remedy)
        return None
    if done.returncode:
        if b"credentials not found" in done.stdout + done.stderr:
            return None
        # Its output might contain secrets.
        problem = f"the credential helper failed for {key} (exit code {done.returncode})"
        raise BentoError(problem, place=program, remedy=f"To print the error, run `echo {key} | {program} get`.")
    try:
        answer = read_json(done.stdout, program)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (FormatError, KeyError, TypeError):
        problem = f"the output for {key} isn't a JSON object with Username and Secret"
        raise BentoError(problem, place=program, remedy="Update the credential helper.") from None
    return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)


_MIN_LIFETIME = 60.0  # seconds; also the default if the response has no expires_in
_MAX_LIFETIME = 86_400.0
_EXPIRY_MARGIN = 10.0  # seconds before the expiry from which on a token is not used
_CLIENT_ID = "rules_bento"


class Challenge(NamedTuple):
    """A challenge in a `WWW-Authenticate` header (RFC 9110, section 11.6.1). The scheme is lowercase.

    >>> Challenge.parse(['Bearer realm="https://auth.example/token",service="r"']).parameters["service"]
    'r'
    """

    scheme: str
    parameters: Mapping[str, str]

    @staticmethod
    def parse(headers: list[str]) -> Challenge | None:
        """Return the first Bearer challenge, or otherwise the first Basic challenge. Returns None if neither exists."""
        by_scheme: dict[str, Challenge] = {}
        for header in headers:
            for scheme, values in challenges(header):
                by_scheme.setdefault(scheme, Challenge(scheme, values))
        return by_scheme.get("bearer") or by_scheme.get("basic")


class Authorizer:
    """Thread-safe provider of `Authorization` headers for requests to one registry."""

    def __init__(self, reference: Reference, origin: Origin, transport: Transport, login: Credentials | None) -> None:
        """Authorize with `login`, or with the credentials of `find_credentials`."""
        self._reference = reference
        self._host = reference.registry
        self._origin = origin
        self._transport = transport
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._credentials = login
        self._tokens: dict[frozenset[str], tuple[str, float]] = {}
        self._token_locks: dict[frozenset[str], threading.Lock] = {}  # one request at a time for each token
        self._searched = login is not None
        self._extra_scopes: dict[frozenset[str], set[str]] = {}  # of challenges, by the requested scopes

    def header(self, scopes: frozenset[str]) -> str:
        """Return the header for `scopes`, or "" if no challenge was received or Basic credentials are missing."""
        with self._lock:
            challenge = self._challenge
            if challenge is None:
                return ""
            if challenge.scheme == "basic":
                login = self._credentials
                return basic_authorization(login.username, login.password) if login else ""
            fetching = self._token_locks.setdefault(scopes, threading.Lock())
        with fetching:
            with self._lock:
                token, end = self._tokens.get(scopes, ("", 0.0))
            if time.monotonic() > end:
                token = self._fetch(challenge, scopes)
        return f"Bearer {token}" if token else ""

    def accept_challenge(self, challenges: list[str], scopes: frozenset[str], sent: str) -> bool:
        """Process the challenges of a 401 response. Returns whether `scopes` now have a header other than `sent`."""
        # zot rejects an expired token without a challenge, so the previous challenge applies.
        challenge = Challenge.parse(challenges) or self._challenge
        if challenge is None:
            return False
        with self._lock:
            if not self._searched:  # only once, because the search might run a credential helper
                self._credentials = find_credentials(self._reference)
                self._searched = True
            self._challenge = challenge
            demanded = set(challenge.parameters.get("scope", "").split())
            self._extra_scopes[scopes] = {scope for scope in demanded if not _is_covered(scope, scopes)}
            if challenge.scheme == "bearer" and sent == f"Bearer {self._tokens.get(scopes, ('', 0.0))[0]}":
                del self._tokens[scopes]  # expired early
        return self.header(scopes) not in ("", sent)

    def _fetch(self, challenge: Challenge, scopes: frozenset[str]) -> str:
        """Return the registry token in the credentials, or request a token for `scopes` from the token server."""
        credentials = self._credentials
        if credentials and credentials.registry_token:
            return credentials.registry_token
        realm = self._realm(challenge.parameters.get("realm", ""))
        with self._lock:
            requested = sorted(scopes | self._extra_scopes.get(scopes, set()))
        query = [("service", challenge.parameters["service"])] if "service" in challenge.parameters else []
        if credentials and credentials.identity_token:
            query += [("grant_type", "refresh_token"), ("refresh_token", credentials.identity_token)]
            query += [("client_id", _CLIENT_ID), ("scope", " ".join(requested))]
            answer = self._request("POST", realm, query, None)
        else:
            answer = self._request("GET", realm, [*query, *(("scope", scope) for scope in requested)], credentials)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token:
            problem = "the token server returned no token"
            raise BentoError(problem, place=self._host, remedy="Report the error to the registry operator.")
        declared = answer.get("expires_in")
        life = declared if isinstance(declared, int | float) and declared > _MIN_LIFETIME else _MIN_LIFETIME
        with self._lock:
            self._tokens[scopes] = token, time.monotonic() + min(life, _MAX_LIFETIME) - _EXPIRY_MARGIN
        return token

    def _request(
        self, method: str, realm: str, fields: list[tuple[str, str]], login: Credentials | None
    ) -> dict[str, object]:
        headers = {"Accept": "application/json"}
        body = None
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(fields).encode()
            url = realm
        else:
            url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(fields)
        if login and login.username:
            headers["Authorization"] = basic_authorization(login.username, login.password)
        with self._transport.exchange(method, url, headers, body) as response:
            content = response.read(limits.TOKEN)
            if response.status in TRANSIENT:
                raise ConnectionLostError(f"the token server returned {response.status}")
            if response.status != 200:
                what = f"{self._reference.name}: token request (credentials from {searched_files()})"
                raise response_error(response.status, content, what, self._host)
        try:
            return read_object(content, "the answer")
        except FormatError:
            return {}

    def _realm(self, realm: str) -> str:
        """Return the URL of the token server. Raises BentoError if the URL is missing or unsafe."""
        if not realm:
            problem = "the authentication challenge has no realm"
            raise BentoError(problem, place=self._host, remedy="Report the error to the registry operator.")
        url = resolve(str(self._origin), realm)
        target = Origin.from_url(url)
        if target.host == self._origin.host:
            if target.scheme == "http" and self._origin.scheme == "https":
                problem = "the token server doesn't use HTTPS"
                raise BentoError(problem, place=self._host, remedy="Ask the registry operator to enable HTTPS.")
        elif target.scheme == "http":
            problem = f"the token server {target} is on another host and doesn't use HTTPS"
            raise BentoError(problem, place=self._host, remedy="Ask the registry operator to enable HTTPS.")
        elif _is_private_host(target.host) and not _is_private_host(self._origin.host):
            problem = f"the token server {target} is on a private network, but the registry isn't"
            raise BentoError(problem, place=self._host, remedy="Report the error to the registry operator.")
        return url


def _is_private_host(host: str) -> bool:
    """Return whether a host is this machine or a private IP address. Supports all notations of IPv4 addresses."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # also 127.1, 0x7f.1, and 2130706433
        except OSError:
            return host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global


def _is_covered(scope: str, scopes: frozenset[str]) -> bool:
    """Return whether a scope in `scopes` includes all actions of `scope`. Scopes have the form `type:name:actions`."""
    resource, _, actions = scope.rpartition(":")
    return any(
        resource == other.rpartition(":")[0] and set(actions.split(",")) <= set(other.rpartition(":")[2].split(","))
        for other in scopes
    )
