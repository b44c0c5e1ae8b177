"""Reads and writes the clouds that a user is logged in to: BentoML's own file, and its variables.

contexts: [{name, endpoint, api_token, email}, ...]
current_context_name: NAME
"""

from __future__ import annotations

import os
from urllib.parse import SplitResult, urlsplit

from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file
from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.net.host_settings import is_loopback
from rules_bento.net.transport import shown
from rules_bento.records import dataclass, field

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.store.home import Home

FILE = ".yatai.yaml"
DEFAULT_ENDPOINT = "https://cloud.bentoml.com"
DEFAULT_NAME = "default"
_KEY, _ENDPOINT = "BENTO_CLOUD_API_KEY", "BENTO_CLOUD_API_ENDPOINT"
_OF_ENVIRONMENT = "__env__"


@dataclass(frozen=True)
class Context:
    """Holds a cloud's address and the token for it."""

    name: str
    endpoint: str
    api_token: str = field(repr=False)
    email: str | None = None

    @property
    def address(self) -> str:
        """Return the endpoint for people.

        One of the file may have a user and a password, which BentoML's own login takes.
        """
        return shown(self.endpoint)

    @property
    def is_open(self) -> bool:
        """Return whether others can read on the way there what is sent."""
        parts = _parts(self.endpoint)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _parts(endpoint: str) -> SplitResult:
    """Split an address; one that cannot be split has no host."""
    try:
        parts = urlsplit(endpoint)
        parts.port  # noqa: B018 - raises ValueError for what is no number
    except ValueError:
        return urlsplit("")
    return parts


def make(name: str, endpoint: str, api_token: str, email: str | None = None) -> Context:
    """Return a context. Raises BentoError for an endpoint that is none, and a token that no header can carry."""
    endpoint = endpoint.strip().rstrip("/")
    parts = _parts(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        # What is no address at all may be a token that stands in the wrong place.
        what = repr(shown(endpoint)) if parts.hostname else "the endpoint"
        raise BentoError(f"{what}: is no address of a cloud. Write `https://host`, and nothing else of it.")
    api_token = api_token.strip()
    if not api_token or not api_token.isascii() or not api_token.isprintable():
        raise BentoError("The API token is empty, or has characters that no token has. Copy it again.")
    return Context(name, endpoint, api_token, email)


def of_environment() -> Context | None:
    """Return the context that variables name; it wins over the file, as for BentoML.

    Raises BentoError for a wrong address or token.
    """
    if _KEY not in os.environ:
        return None
    return make(_OF_ENVIRONMENT, os.environ.get(_ENDPOINT) or DEFAULT_ENDPOINT, os.environ[_KEY])


class Contexts:
    """Reads and writes the contexts of the file, and keeps what else is in it."""

    def __init__(self, home: Home) -> None:
        """Read the file, which need not be there. Raises BentoError for one that cannot be read."""
        self._home = home
        self._path = home.root / FILE
        self._document = _read(self._path)
        contexts = self._document.get("contexts") or []
        if not isinstance(contexts, list) or not all(isinstance(item, dict) for item in contexts):
            raise _broken(self._path, "contexts is no list of mappings")
        self.contexts = [_context(item, self._path) for item in contexts]
        self.current_name = str(self._document.get("current_context_name") or DEFAULT_NAME)

    def get(self, name: str = "") -> Context:
        """Return the one of a name, or else the current one. Raises BentoError if there is none that can be asked."""
        name = name or self.current_name
        for context in self.contexts:
            if context.name == name:
                if not {"?", "#"}.isdisjoint(context.endpoint):  # it would swallow the paths of the API
                    problem = f"the endpoint of {name!r} is an address with a query"
                    raise BentoError(f"{self._path}: {problem}. Log in again: `bento cloud login`.")
                return context
        known = ", ".join(context.name for context in self.contexts)
        there = f"There is {known}." if known else "There is none."
        raise BentoError(f"{name!r}: no cloud context has this name. {there} Log in with `bento cloud login`.")

    def save(self, context: Context) -> bool:
        """Keep a context under its name; return whether it took the place of another one.

        Raises BentoError for a file that cannot be written.
        """
        known = [other.name for other in self.contexts]
        replaced = context.name in known
        if replaced:
            self.contexts[known.index(context.name)] = context
        else:
            self.contexts.append(context)
        self._write()
        return replaced

    def set_current(self, name: str) -> Context:
        """Make a context the current one. Raises BentoError if there is none of the name."""
        context = self.get(name)
        self.current_name = name
        self._write()
        return context

    def _write(self) -> None:
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
        self._document = {**self._document, "contexts": fields, "current_context_name": self.current_name}
        text = yaml.safe_dump(self._document, sort_keys=False, allow_unicode=True)
        self._home.root.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_name(f"{FILE}.{os.urandom(8).hex()}")
        try:
            # It has tokens: nobody else may ever read it, not even while it is written.
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path)
        except OSError as error:
            raise BentoError(f"{self._path}: cannot be written: {error.strerror}.") from error
        finally:
            unfinished.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    from rules_bento.formats.yaml import read_yaml

    try:
        document = read_yaml(read_file(path), str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BentoError(f"{path}: cannot be read ({error}).") from None
    except FormatError:
        # The error would show a piece of the file, and that may be a token.
        raise _broken(path, "it is no YAML") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _broken(path, "it is no mapping")
    return document


def _context(item: dict[str, Any], path: Path) -> Context:
    for key in ("name", "endpoint", "api_token"):
        if not isinstance(item.get(key), str):
            raise _broken(path, f"a context has no {key}")
    email = item.get("email")
    return Context(item["name"], item["endpoint"].rstrip("/"), item["api_token"], None if email is None else str(email))


def _broken(path: Path, problem: str) -> BentoError:
    return BentoError(f"{path}: {problem}, so it has no cloud contexts. Correct it, or remove it and log in again.")
