"""Authenticates to a registry: with nothing, a name and a password, or a token for each scope.

Basic authentication is RFC 7617; tokens are the distribution project's (`docs/spec/auth/token.md`, `oauth.md`).
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from base64 import b64encode
from urllib.parse import urlencode, urlsplit

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_object
from rules_bento.net import ConnectionLostError, limits
from rules_bento.net.headers import challenges
from rules_bento.net.transfers import TRANSIENT
from rules_bento.net.transport import Bytes, Origin, resolve
from rules_bento.registry import credentials
from rules_bento.registry.errors import refusal
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_bento.net.transport import Transport
    from rules_bento.registry.credentials import Credentials
    from rules_bento.registry.reference import Reference

_LEAST_LIFE = 60.0  # seconds a token is good for where the answer does not say
_LONGEST_LIFE = 86_400.0
_MARGIN = 10.0  # seconds before its end from which on a token is not used any more
_CLIENT = "rules_bento"


class Challenge(NamedTuple):
    """Holds a `WWW-Authenticate` header (RFC 9110, section 11.6.1): the scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]

    @staticmethod
    def parse(headers: list[str]) -> Challenge | None:
        """Return the first challenge of the headers that can be met, tokens before passwords."""
        by_scheme: dict[str, Challenge] = {}
        for header in headers:
            for scheme, values in challenges(header):
                by_scheme.setdefault(scheme, Challenge(scheme, values))
        return by_scheme.get("bearer") or by_scheme.get("basic")


class Authorizer:
    """Makes the `Authorization` of requests to one registry. To be used by several threads at once."""

    def __init__(self, reference: Reference, origin: Origin, transport: Transport) -> None:
        self._reference = reference
        self._origin = origin
        self._transport = transport
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._credentials: Credentials | None = None
        self._tokens: dict[frozenset[str], tuple[str, float]] = {}
        self._fetching: dict[frozenset[str], threading.Lock] = {}  # who wants the same token waits for it
        self._finding = threading.Lock()
        self._looked = False
        self._demanded: dict[frozenset[str], set[str]] = {}  # scopes that the registry named, by those that we did

    def header(self, scopes: frozenset[str]) -> str:
        """Return the `Authorization` for a request that needs the scopes; empty until the registry asks for one.

        Raises BentoError and RegistryError if it cannot be had, ConnectionLostError if the connection fails.
        """
        with self._lock:
            challenge = self._challenge
            if challenge is None:
                return ""
            if challenge.scheme == "basic":
                return _basic(self._credentials) if self._credentials else ""
            fetching = self._fetching.setdefault(scopes, threading.Lock())
        with fetching:
            token = self._token(scopes) or self._fetch(challenge, scopes)
        return f"Bearer {token}" if token else ""

    def _token(self, scopes: frozenset[str]) -> str:
        """Return the token for the scopes that is at hand; empty if there is none, or its time is over."""
        with self._lock:
            token, end = self._tokens.get(scopes, ("", 0.0))
            return token if time.monotonic() <= end else ""

    def learn(self, challenges: list[str], scopes: frozenset[str], sent: str) -> bool:
        """Take note of the challenges of a 401 to a request with the header `sent`; return whether to ask again."""
        challenge = Challenge.parse(challenges)
        if challenge is None:
            return False
        self._find_credentials()
        with self._lock:
            self._challenge = challenge
            demanded = set(challenge.parameters.get("scope", "").split())
            self._demanded[scopes] = {scope for scope in demanded if not _is_covered(scope, scopes)}
            if challenge.scheme == "bearer" and sent == f"Bearer {self._tokens.get(scopes, ('', 0.0))[0]}":
                del self._tokens[scopes]  # it has ended early
        return self.header(scopes) not in ("", sent)

    def _find_credentials(self) -> None:
        """Look for credentials, once: that may run a program."""
        with self._finding:
            if not self._looked:
                self._credentials = credentials.find(self._reference)
                self._looked = True

    def _fetch(self, challenge: Challenge, scopes: frozenset[str]) -> str:
        """Return a token for the scopes, from where the challenge says."""
        credentials = self._credentials
        if credentials and credentials.registry_token:
            return credentials.registry_token
        realm = self._realm(challenge.parameters.get("realm", ""))
        with self._lock:
            requested = sorted(scopes | self._demanded.get(scopes, set()))
        query = [("service", challenge.parameters["service"])] if "service" in challenge.parameters else []
        if credentials and credentials.identity_token:
            fields = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token, "client_id": _CLIENT}
            answer = self._ask("POST", realm, [*query, *fields.items(), ("scope", " ".join(requested))], None)
        else:
            answer = self._ask("GET", realm, [*query, *(("scope", scope) for scope in requested)], credentials)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise BentoError(f"{self._host}: its token server answers without a token. That is not the protocol.")
        stated = answer.get("expires_in")
        life = stated if isinstance(stated, int | float) and stated > _LEAST_LIFE else _LEAST_LIFE
        with self._lock:
            self._tokens[scopes] = token, time.monotonic() + min(life, _LONGEST_LIFE) - _MARGIN
        return token

    def _ask(
        self, method: str, realm: str, fields: list[tuple[str, str]], login: Credentials | None
    ) -> dict[str, object]:
        headers = {"Accept": "application/json"}
        body = None
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = Bytes(urlencode(fields).encode())
            url = realm
        else:
            url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(fields)
        if login and login.username:
            headers["Authorization"] = _basic(login)
        with self._transport.exchange(method, url, headers, body) as response:
            content = response.read(limits.TOKEN)
            if response.status in TRANSIENT:
                raise ConnectionLostError(f"its token server answers {response.status}")
            if response.status != 200:
                what = f"{self._reference.name}: a token (credentials from: {credentials.places()})"
                raise refusal(response.status, content, what, self._host)
        try:
            return read_object(content, "the answer")
        except FormatError:
            return {}

    def _realm(self, realm: str) -> str:
        """Return the address of the token server. Raises BentoError for one that credentials are not sent to.

        They leave this machine under encryption, unless they go to the host of a registry that is reached without. A
        server at an address of a private network, or of this machine, is believed if the registry is at such a one.
        """
        if not realm:
            raise BentoError(f"{self._host}: wants a token without saying where from. That is not the protocol.")
        url = resolve(str(self._origin), realm)
        there = Origin.of(url)
        if there.host == self._origin.host:
            if there.scheme == "http" and self._origin.scheme == "https":
                raise BentoError(f"{self._host}: wants credentials to be sent without encryption. Refused.")
        elif there.scheme == "http":
            raise BentoError(
                f"{self._host}: wants credentials to be sent to {there}, without encryption, to another server. "
                f"Refused: its token server is reached by https, or by the registry's own name."
            )
        elif _is_inside(there.host) and not _is_inside(self._origin.host):
            raise BentoError(
                f"{self._host}: wants credentials to be sent to {there}, inside of your network. Refused. If it is "
                f"right, let the registry's owner give that server a name."
            )
        return url

    @property
    def _host(self) -> str:
        return self._reference.registry


def _is_inside(host: str) -> bool:
    """Return whether a host is this machine, or an address that is not the internet's, in any of its spellings."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 127.1, 0x7f.1 and 2130706433, too
        except OSError:
            return host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global


def _is_covered(scope: str, scopes: frozenset[str]) -> bool:
    """Return whether one of the scopes (`type:name:action,...`) is for the same thing, and allows as much."""
    resource, _, actions = scope.rpartition(":")
    return any(
        resource == other.rpartition(":")[0] and set(actions.split(",")) <= set(other.rpartition(":")[2].split(","))
        for other in scopes
    )


def _basic(login: Credentials) -> str:
    return "Basic " + b64encode(f"{login.username}:{login.password}".encode()).decode()
