"""Describes where uv looks for packages: indexes, folders, and which package comes from which of them.

Credentials are no part of it. uv takes them from netrc, its own store, `UV_INDEX_<NAME>_USERNAME` and the like, or the
keyring, and this module refuses an address that holds some.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats import schema
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rules_bento.packages.requirements import Option

_CREDENTIALS = re.compile(r"(https?://)[^/@\s]+@|(://[^/@:\s]+):[^/@\s]+@")
_QUERY = re.compile(r"(://[^\s?'\"`<>]*)\?[^\s'\"`<>)]*")
# For an explicit package that is only a dependency of others: uv looks at the index of what the project itself names.
EXPLICIT_GROUP = "rules-bento-explicit"


@dataclass(frozen=True)
class Indexes:
    """Holds the settings of a `bento.pypi` tag or a `bento_requirements` target.

    `extra` are `NAME=URL` or `URL`, asked before `default`; `explicit` is package to the name of one of them, which
    then serves these packages only. All of it empty: what uv itself is set up for.
    """

    default: str = ""
    extra: tuple[str, ...] = ()
    explicit: Mapping[str, str] = field(default_factory=dict)
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str, origin: str) -> Indexes:
        """Read what a rule writes; `origin` is named in errors."""
        values: dict[str, Any] = json.loads(text or "{}")
        schema.validate(values, _SHAPE, f"{origin}: indexes", "Correct the attributes.")
        for key in ("extra", "find_links", "trusted_hosts"):
            values[key] = tuple(values.get(key, ()))
        return cls(**values)._validate(origin)

    def with_options(self, options: Iterable[Option], origin: str) -> Indexes:
        """Return these settings, changed by the option lines of requirements files."""
        values: dict[str, list[str]] = {}
        for option in options:
            values.setdefault(_LONG_FLAGS.get(option.flag, option.flag), []).append(option.value)
        return Indexes(
            default=(values.get("--index-url") or [self.default])[-1],
            extra=(*self.extra, *values.get("--extra-index-url", [])),
            explicit=self.explicit,
            find_links=(*self.find_links, *values.get("--find-links", [])),
            no_index=self.no_index or "--no-index" in values,
            trusted_hosts=(*self.trusted_hosts, *values.get("--trusted-host", [])),
        )._validate(origin)

    @property
    def digest(self) -> str:
        """Return a digest that changes with the settings without revealing them; empty for no settings."""
        if self == Indexes():
            return ""
        parts: list[Any] = [self.default, self.extra, dict(sorted(self.explicit.items())), self.find_links]
        text = json.dumps([*parts, self.no_index, self.trusted_hosts])
        return hashlib.sha256(text.encode()).hexdigest()

    def project_tables(self) -> list[str]:
        """Return the lines of a pyproject.toml, from within `[tool.uv]` on."""
        lines = []
        if self.find_links:
            lines.append(f"find-links = {json.dumps([_absolute(link) for link in self.find_links])}")
        if self.no_index:
            lines.append("no-index = true")
        if self.trusted_hosts:
            lines.append(f"allow-insecure-host = {json.dumps(self.trusted_hosts)}")
        for entry in self.extra:
            name, url = split_index(entry)
            lines += ["[[tool.uv.index]]", f"url = {json.dumps(url)}"]
            lines += [f"name = {json.dumps(name)}"] if name else []
            lines += ["explicit = true"] if name in self.explicit.values() else []
        if self.default:
            lines += ["[[tool.uv.index]]", f"url = {json.dumps(self.default)}", "default = true"]
        if self.explicit:
            lines.append("[tool.uv.sources]")
            lines += [
                f"{json.dumps(package)} = {{ index = {json.dumps(name)} }}" for package, name in self._by_package()
            ]
            lines += [
                "[dependency-groups]",
                f"{EXPLICIT_GROUP} = {json.dumps([name for name, _ in self._by_package()])}",
            ]
        return lines

    def _by_package(self) -> list[tuple[str, str]]:
        return sorted((normalize_name(package), name) for package, name in self.explicit.items())

    def _validate(self, origin: str) -> Indexes:
        names = {split_index(entry)[0] for entry in self.extra} - {""}
        for address in (self.default, *self.extra, *self.find_links):
            reject_credentials(address, origin)
        for package, name in self.explicit.items():
            if name not in names:
                raise BentoError(
                    f"{origin}: explicit: {package} is to come from the index {name!r}, but indexes has "
                    f"{', '.join(sorted(names)) or 'none with a name'}. Add '{name}=<address>' there."
                )
        return self


_SHAPE = {
    "default?": str,
    "explicit?": {...: str},
    "extra?": [str],
    "find_links?": [str],
    "no_index?": bool,
    "trusted_hosts?": [str],
}
_LONG_FLAGS = {"-i": "--index-url", "-f": "--find-links"}


def split_index(entry: str) -> tuple[str, str]:
    """Split `NAME=URL` into name and address; the name is empty for a bare address."""
    match = re.match(r"([A-Za-z0-9_.-]+)=(?=\w+:|/)", entry)
    return (match[1], entry[match.end() :]) if match else ("", entry)


def reject_credentials(text: str, origin: str) -> None:
    """Raise BentoError for an address with a password or token in it, without repeating it."""
    if _CREDENTIALS.search(text):
        raise BentoError(
            f"{origin}: {without_credentials(text)} has credentials in its address. Take them out; uv finds them in "
            f"netrc, in UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, or in the keyring."
        )


def without_credentials(text: str) -> str:
    """Return a text as people may see it: addresses without a user, a password or a query, which may hold a token."""
    return _QUERY.sub(r"\1", _CREDENTIALS.sub(lambda match: match[1] or f"{match[2].rpartition('//')[0]}//", text))


def _absolute(link: str) -> str:
    return link if "://" in link else str(Path(link).absolute())
