"""Reads and writes BentoML's context file for BentoCloud and Yatai. Also reads a context from environment variables.

The context file contains YAML:

    contexts: [{name, endpoint, api_token, email}, ...]
    current_context_name: NAME
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from rules_bento.base.archives.atomic import locked_directory, write_error, write_private
from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, read_file
from rules_bento.base.net.secret_hosts import is_loopback
from rules_bento.base.net.urls import display_url
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Sequence

if TYPE_CHECKING:
    from pathlib import Path

    from bento_cli.store.home import Home

FILE = ".yatai.yaml"
DEFAULT_ENDPOINT = "https://cloud.bentoml.com"
DEFAULT_NAME = "default"
KEY, ENDPOINT = "BENTO_CLOUD_API_KEY", "BENTO_CLOUD_API_ENDPOINT"
_OF_ENVIRONMENT = "__env__"


@dataclass(frozen=True)
class Context:
    """A named connection to a server: the endpoint, and the token of a user."""

    name: str
    endpoint: str
    api_token: str = field(repr=False)
    email: str | None = None

    @property
    def address(self) -> str:
        """The endpoint without a user and password, for display in messages."""
        return display_url(self.endpoint)

    @property
    def is_open(self) -> bool:
        """Whether requests are sent unencrypted to another machine."""
        parts = _parts(self.endpoint)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _parts(endpoint: str) -> SplitResult:
    """Split a URL into components. The result for an invalid URL has no host."""
    try:
        parts = urlsplit(endpoint)
        parts.port  # noqa: B018 - raises ValueError for an invalid port
    except ValueError:
        return urlsplit("")
    return parts


def make(
    name: str, endpoint: str, api_token: str, email: str | None = None, *, places: Sequence[str] = ("", "")
) -> Context:
    """Return a validated context. Raises BentoError for an invalid endpoint or token, which are from `places`."""
    endpoint = endpoint.strip().rstrip("/")
    parts = _parts(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        # Omit an invalid address, which might be a token in the wrong place.
        shown = f" {display_url(endpoint)!r}" if parts.hostname else ""
        remedy = "Use https://HOST, without a user name or a query string."
        raise BentoError(f"invalid endpoint{shown}", place=places[0], remedy=remedy)
    api_token = api_token.strip()
    if not api_token or not api_token.isascii() or not api_token.isprintable():
        remedy = "Copy the complete token again."
        raise BentoError("the API token is empty or contains invalid characters", place=places[1], remedy=remedy)
    return Context(name, endpoint, api_token, email)


def of_environment() -> Context | None:
    """Return the context that environment variables define, or None if BENTO_CLOUD_API_KEY isn't set.

    As in BentoML, this context overrides the context file. Raises BentoError for an invalid endpoint or token.
    """
    if KEY not in os.environ:
        return None
    endpoint = os.environ.get(ENDPOINT) or DEFAULT_ENDPOINT
    return make(_OF_ENVIRONMENT, endpoint, os.environ[KEY], places=(ENDPOINT, KEY))


class Contexts:
    """Reads and writes the contexts in BentoML's context file. Preserves fields that this class doesn't use."""

    def __init__(self, home: Home) -> None:
        """Read BentoML's context file, if the file exists. Raises BentoError for an unreadable or invalid file."""
        self._home = home
        self._path = home.root / FILE
        self._read()

    def _read(self) -> None:
        self._document = _read(self._path)
        contexts = self._document.get("contexts") or []
        if not isinstance(contexts, list) or not all(isinstance(item, dict) for item in contexts):
            raise _broken(self._path, "`contexts` isn't a list of mappings")
        self.contexts = [_context(item, self._path) for item in contexts]
        self.current_name = str(self._document.get("current_context_name") or DEFAULT_NAME)

    def get(self, name: str = "") -> Context:
        """Return a context, by default the current context. Raises BentoError for an unknown or invalid context."""
        name = name or self.current_name
        for context in self.contexts:
            if context.name == name:
                if not {"?", "#"}.isdisjoint(context.endpoint):  # the paths of the API would become a part of the query
                    problem = f"the endpoint of {name!r} contains a query or a fragment"
                    raise BentoError(problem, place=str(self._path), remedy="Log in again with another --endpoint.")
                return context
        known = ", ".join(context.name for context in self.contexts)
        if not known:
            raise BentoError("no login to BentoCloud or Yatai exists", remedy="Run `bento cloud login`.")
        remedy = f"Valid contexts: {known}. To add one, run `bento cloud login`."
        raise BentoError(f"unknown context {name!r}", remedy=remedy)

    def save(self, context: Context) -> bool:
        """Save a context under its name. Returns whether an existing context was replaced.

        Raises BentoError if the file can't be written.
        """
        with self._changing():
            known = [other.name for other in self.contexts]
            replaced = context.name in known
            if replaced:
                self.contexts[known.index(context.name)] = context
            else:
                self.contexts.append(context)
        return replaced

    def set_current(self, name: str) -> Context:
        """Make `name` the current context. Returns the context.

        Raises BentoError for an unknown or invalid context, or if the file can't be written.
        """
        with self._changing():
            context = self.get(name)
            self.current_name = name
        return context

    @contextmanager
    def _changing(self) -> Iterator[None]:  # writes: own, a constant name in the store
        """Read the file again, and write it after the `with` block. No other `bento` process changes it meanwhile."""
        try:
            self._home.root.mkdir(parents=True, exist_ok=True)
            with locked_directory(self._home.root):
                self._read()
                yield
                write_private(self._path, self._text())
        except OSError as error:
            raise write_error(self._path, error) from error

    def _text(self) -> bytes:
        import yaml

        known = {item["name"]: item for item in self._document.get("contexts") or []}
        fields = [
            {
                **known.get(context.name, {}),
                "name": context.name,
                "endpoint": context.endpoint,
                "api_token": context.api_token,
                "email": context.email,
            }
            for context in self.contexts
        ]
        document = {**self._document, "contexts": fields, "current_context_name": self.current_name}
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


def _read(path: Path) -> dict[str, Any]:
    from rules_bento.base.formats.yaml import read_yaml

    try:
        document = read_yaml(read_file(path), str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        remedy = "Check the file's permissions."
        raise BentoError(f"cannot read the file: {error.strerror}", place=str(path), remedy=remedy) from None
    except FormatError:
        # The parser's error would quote the file, which contains tokens.
        raise _broken(path, "the file isn't valid YAML") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _broken(path, "the file isn't a mapping")
    return document


def _context(item: dict[str, Any], path: Path) -> Context:
    for key in ("name", "endpoint", "api_token"):
        if not isinstance(item.get(key), str):
            raise _broken(path, f"a context has no string `{key}`")
    email = item.get("email")
    return Context(item["name"], item["endpoint"].rstrip("/"), item["api_token"], None if email is None else str(email))


def _broken(path: Path, problem: str) -> BentoError:
    return BentoError(problem, place=str(path), remedy="Delete the file, and run `bento cloud login`.")
