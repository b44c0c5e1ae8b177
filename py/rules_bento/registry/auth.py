"""What a registry wants to see: nothing, a name and a password, or a token for each scope.

Basic authentication is RFC 7617; tokens are the distribution project's (`docs/spec/auth/token.md`, `oauth.md`).
"""

from __future__ import annotations

import re
import threading
import time
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode, urlsplit

from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_object
from rules_bento.net.errors import CutError
from rules_bento.net.retry import TRANSIENT
from rules_bento.net.transport import Bytes, Origin
from rules_bento.registry import credentials
from rules_bento.registry.errors import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules_bento.net.transport import Transport
    from rules_bento.registry.credentials import Credentials
    from rules_bento.registry.reference import Reference

_LEAST_LIFE = 60.0  # seconds a token is good for where the answer does not say
_MARGIN = 10.0  # seconds before its end from which on a token is not used any more
_CLIENT = "rules_bento"
_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class Challenge(NamedTuple):
    """A `WWW-Authenticate` header (RFC 9110, section 11.6.1): the scheme in lower case, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]

    @staticmethod
    def parse(headers: list[str]) -> Challenge | None:
        """The first challenge of the headers that can be met, tokens before passwords."""
        found: dict[str, Challenge] = {}
        for header in headers:
            for match in re.finditer(r"(?i)(?:^|,\s*)(bearer|basic)\b((?:(?!,\s*(?:bearer|basic)\s).)*)", header):
                values = {
                    name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain
                    for name, quoted, plain in _PARAMETER.findall(match[2])
                }
                found.setdefault(match[1].lower(), Challenge(match[1].lower(), values))
        return found.get("bearer") or found.get("basic")


class Authorizer:
    """The `Authorization` of requests to one registry. To be used by several threads at once."""

    def __init__(self, reference: Reference, origin: Origin, transport: Transport) -> None:
        self._reference = reference
        self._origin = origin
        self._transport = transport
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._credentials: Credentials | None = None
        self._tokens: dict[frozenset[str], tuple[str, float]] = {}
        self._demanded: dict[frozenset[str], set[str]] = {}  # scopes that the registry named, by those that we did

    def header(self, scopes: frozenset[str]) -> str:
        """The header's value for a request that needs the scopes; empty as long as the registry asks for nothing.

        Raises BentoError and RegistryError if it cannot be had, CutError if the connection fails.
        """
        with self._lock:
            if self._challenge is None:
                return ""
            if self._challenge.scheme == "basic":
                return _basic(self._credentials) if self._credentials else ""
            token, end = self._tokens.get(scopes, ("", 0.0))
            if time.monotonic() > end:
                token = self._fetch(self._challenge, scopes)
            return f"Bearer {token}" if token else ""

    def learn(self, challenges: list[str], scopes: frozenset[str], sent: str) -> bool:
        """Take note of the challenges of a 401 to a request with the header `sent`; whether to ask again."""
        challenge = Challenge.parse(challenges)
        if challenge is None:
            return False
        with self._lock:
            if self._challenge is None:
                self._credentials = credentials.find(self._reference)
            self._challenge = challenge
            demanded = set(challenge.parameters.get("scope", "").split())
            self._demanded[scopes] = {scope for scope in demanded if not _is_covered(scope, scopes)}
            if challenge.scheme == "bearer" and sent == f"Bearer {self._tokens.get(scopes, ('', 0.0))[0]}":
                del self._tokens[scopes]  # it has ended early
        return self.header(scopes) not in ("", sent)

    def _fetch(self, challenge: Challenge, scopes: frozenset[str]) -> str:
        """A token for the scopes, from where the challenge says."""
        found = self._credentials
        if found and found.registry_token:
            return found.registry_token
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm)
        asked = sorted(scopes | self._demanded.get(scopes, set()))
        query = [("service", challenge.parameters["service"])] if "service" in challenge.parameters else []
        if found and found.identity_token:
            fields = {"grant_type": "refresh_token", "refresh_token": found.identity_token, "client_id": _CLIENT}
            answer = self._ask("POST", realm, [*query, *fields.items(), ("scope", " ".join(asked))], None)
        else:
            answer = self._ask("GET", realm, [*query, *(("scope", scope) for scope in asked)], found)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise BentoError(f"{self._host}: its token server answers without a token. That is not the protocol.")
        life = answer.get("expires_in")
        life = max(float(life), _LEAST_LIFE) if isinstance(life, int | float) else _LEAST_LIFE
        self._tokens[scopes] = token, time.monotonic() + life - _MARGIN
        return token

    def _ask(
        self, method: str, realm: str, fields: list[tuple[str, str]], found: Credentials | None
    ) -> dict[str, object]:
        headers = {"Accept": "application/json"}
        body = None
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = Bytes(urlencode(fields).encode())
            url = realm
        else:
            url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(fields)
        if found and found.username:
            headers["Authorization"] = _basic(found)
        with self._transport.exchange(method, url, headers, body) as response:
            content = response.read()
            if response.status in TRANSIENT:
                raise CutError(f"its token server answers {response.status}")
            if response.status != 200:
                what = f"{self._reference.name}: a token (credentials from: {credentials.places()})"
                raise refusal(response.status, response.headers, content, what, self._host)
        try:
            return read_object(content, "the answer")
        except FormatError:
            return {}

    def _check_realm(self, realm: str) -> None:
        """Credentials that came under encryption, or would have, leave this machine under encryption."""
        secure = self._origin.scheme == "https"
        if secure and Origin.of(realm).scheme != "https":
            raise BentoError(
                f"{self._host}: wants credentials to be sent without encryption, to another server. Refused."
            )

    @property
    def _host(self) -> str:
        return self._reference.registry


def _is_covered(scope: str, scopes: frozenset[str]) -> bool:
    """Whether one of the scopes (`type:name:action,...`) is for the same thing, and allows as much."""
    thing, _, actions = scope.rpartition(":")
    return any(
        thing == other.rpartition(":")[0] and set(actions.split(",")) <= set(other.rpartition(":")[2].split(","))
        for other in scopes
    )


def _basic(found: Credentials) -> str:
    return "Basic " + b64encode(f"{found.username}:{found.password}".encode()).decode()
