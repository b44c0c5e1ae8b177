"""Validates and converts settings of package indexes: URLs, `find-links` directories, and explicit indexes.

Rejects URLs with credentials. uv gets credentials from netrc, uv's credential store, environment variables such as
`UV_INDEX_<NAME>_USERNAME`, or the keyring.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.display import CREDENTIALS, without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.typing_lite import Any, Iterable, Mapping
from rules_bento.bentos.packages.requirement_syntax import Line, normalize_name

# uv applies tool.uv.sources only to direct requirements, so this group lists the explicit packages.
EXPLICIT_GROUP = "rules-bento-explicit"


@dataclass(frozen=True)
class Indexes:
    """The index settings of a `bento.pypi` tag or a `bento_requirements` target.

    `extra` lists indexes as `NAME=URL` or `URL`. These indexes have priority over `default`. `explicit` maps package
    names to index names. An index in `explicit` serves only the packages that map to the index. If all settings are
    empty, uv's configuration applies.
    """

    default: str = ""
    extra: tuple[str, ...] = ()
    explicit: Mapping[str, str] = field(default_factory=dict)
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, text: str, origin: str) -> Indexes:
        """Parse JSON from a rule. Raises BentoError for invalid settings. The message begins with `origin`."""
        values: dict[str, Any] = json.loads(text or "{}")
        schema.validate(values, _SHAPE, f"{origin}: indexes", "Correct the attributes.")
        for key in ("extra", "find_links", "trusted_hosts"):
            values[key] = tuple(values.get(key, ()))
        return cls(**values)._validate(origin)

    def with_options(self, options: Iterable[Line], origin: str) -> Indexes:
        """Return a copy with the index options of requirements files. Raises the same errors as `from_json`."""
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

    def pip_flags(self) -> list[str]:
        """Return the settings as options of pip. pip has no counterpart of `explicit`."""
        flags = ["--index-url", self.default] if self.default else []
        for entry in self.extra:
            flags += ["--extra-index-url", split_index(entry)[1]]
        for link in self.find_links:
            flags += ["--find-links", _absolute(link)]
        for host in self.trusted_hosts:
            flags += ["--trusted-host", host]
        return flags + ["--no-index"] * self.no_index

    @property
    def digest(self) -> str:
        """The hexadecimal SHA-256 of the settings, or an empty string for default settings."""
        if self == Indexes():
            return ""
        parts: list[Any] = [self.default, self.extra, dict(sorted(self.explicit.items())), self.find_links]
        text = json.dumps([*parts, self.no_index, self.trusted_hosts])
        return hashlib.sha256(text.encode()).hexdigest()

    def project_tables(self) -> list[str]:
        """Return the settings as lines to append to a pyproject.toml file whose last table is `[tool.uv]`."""
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
            explicit = dict(sorted((normalize_name(package), name) for package, name in self.explicit.items()))
            lines.append("[tool.uv.sources]")
            lines += [f"{json.dumps(package)} = {{ index = {json.dumps(name)} }}" for package, name in explicit.items()]
            lines += ["[dependency-groups]", f"{EXPLICIT_GROUP} = {json.dumps(list(explicit))}"]
        return lines

    def _validate(self, origin: str) -> Indexes:
        from rules_bento.base.net.secret_hosts import is_odd

        names = {split_index(entry)[0] for entry in self.extra} - {""}
        for address in (self.default, *self.extra, *self.find_links):
            reject_credentials(address, origin)
            if is_odd(address):
                problem = f"{without_credentials(address)!r} contains a space, or another character that clients ignore"
                raise BentoError(problem, place=origin, remedy="Remove the character.")
            if "$" in address:
                problem = "an address of an index contains '$', so uv could send the value of a variable to its server"
                raise BentoError(problem, place=origin, remedy="Remove the variable. For credentials, use netrc.")
        for package, name in self.explicit.items():
            if name not in names:
                problem = f"unknown index {name!r} for {package}. Named indexes: {', '.join(sorted(names)) or 'none'}"
                raise BentoError(problem, place=f"{origin}: explicit", remedy=f"Add '{name}=<URL>' to indexes.")
        return self


_SHAPE = {"default?": str, "explicit?": {...: str}, "extra?": [str], "find_links?": [str]}
_SHAPE |= {"no_index?": bool, "trusted_hosts?": [str]}
_LONG_FLAGS = {"-i": "--index-url", "-f": "--find-links"}


def unique_index(lines: Iterable[Line]) -> list[Line]:
    """Remove repetitions of `--index-url`, which uv rejects. Raises BentoError for a second, different index."""
    kept: list[Line] = []
    first: tuple[str, str] | None = None
    for line in lines:
        matches = list(re.finditer(r"(?:^|\s)(?:-i|--index-url)[=\s]\s*(\S+)", line.text)) if line.flag else []
        text = line.text
        for match in matches:
            url = match[1].rstrip("/")
            if first is None:
                first = (url, line.place)
            elif url == first[0]:
                text = text.replace(match[0], "", 1)
            else:
                problem = f"the index {without_credentials(match[1])} differs from {without_credentials(first[0])} "
                problem += f"({first[1]})"
                raise BentoError(problem, place=line.place, remedy="Remove one index, or use --extra-index-url.")
        if text.strip() or not matches:
            kept.append(line if text == line.text else line._replace(text=text.strip(), written=text.strip()))
    return kept


def split_index(entry: str) -> tuple[str, str]:
    """Split `NAME=URL` into the name and the URL. The name is empty if `entry` is only a URL."""
    match = re.match(r"([A-Za-z0-9_.-]+)=(?=\w+:|/)", entry)
    return (match[1], entry[match.end() :]) if match else ("", entry)


def reject_credentials(text: str, origin: str) -> None:
    """Raise BentoError if a URL in `text` contains credentials. The message omits the credentials."""
    if CREDENTIALS.search(text):
        remedy = "Move the credentials to netrc, to UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, or to "
        remedy += "the keyring."
        raise BentoError(f"{without_credentials(text)} contains credentials", place=origin, remedy=remedy)


def reject_variables(texts: Iterable[str], origin: str) -> None:
    """Raise BentoError if uv would send the value of an environment variable to a server that `texts` name."""
    if any("${" in text for text in texts):
        problem = "a requirement contains '${', so uv would send the value of an environment variable to a server"
        raise BentoError(problem, place=origin, remedy="Remove the variable. For credentials, use netrc.")


def _absolute(link: str) -> str:
    return link if "://" in link else str(Path(link).absolute())
