"""The neutral form of locks that other tools than uv write: packages with files, as in a pylock.toml, and their users.

Each reader of this package translates a form into it, without a resolver. `tables` returns it in the form of a
`uv.lock`, so that one implementation selects extras, groups, platforms, and files of all locks. An edge has keys of a
`uv.lock`: `name`, and optionally `version`, `marker`, and `extra`. A package without addresses of files has `hashes`
(SHA-256), and `index`, options of requirements files. `extras` are the extras with which a requirements file lists a
package, and `only-wheels` is true if the file has `--only-binary` for it.
"""

from __future__ import annotations

import hashlib
import json
import re

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import shapes
from rules_bento.base.typing_lite import Any, Iterable, Mapping, NoReturn, Sequence
from rules_bento.bentos.packages.indexes import reject_credentials, reject_variables
from rules_bento.bentos.packages.lock_format import check_tables
from rules_bento.bentos.packages.requirement_syntax import address_pin, normalize_name

Edge = dict[str, Any]
User = tuple[str, str]  # "project" and "", or "extra" or "group" and its name
PROJECT: User = ("project", "")
MIGRATE = "run `uvx migrate-to-uv`, which keeps the locked versions"
_HERE = (".", "./", "")


@dataclass
class NeutralLock:
    """What a lock has: releases, and the edges of the project, its extras, and its groups."""

    origin: str
    command: str  # of the tool, which locks again
    project: str  # the normalized name
    requires_python: str = ">=3.8"
    default_groups: Sequence[str] = ()
    packages: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    unverified: str = ""  # a package without a hash or commit
    upgrade: str = ""  # the command that adds groups to a lock without them
    roots: dict[User, list[Edge]] = field(default_factory=lambda: {PROJECT: []})

    def fail(self, problem: str, remedy: str = "", place: str = "") -> NoReturn:
        """Raise BentoError for the lock."""
        raise BentoError(problem, place=place or self.origin, remedy=remedy or f"Run `{self.command}`.")

    def check_form(self, found: object, pattern: str) -> None:
        """Raise BentoError for another version of the form than a pattern matches."""
        if not re.fullmatch(pattern, str(found)):
            self.fail(f"unsupported version {str(found)[:40]!r} of the lock's form", f"{MIGRATE.capitalize()}.")

    def check_current(
        self, stated: object, contents: Iterable[object], separators: tuple[str, str] | None = None
    ) -> None:
        """Raise BentoError if a digest in the lock isn't of one of `contents`, the project's requirements as JSON."""
        texts = (json.dumps(each, sort_keys=True, separators=separators, default=str) for each in contents)
        if stated and str(stated).removeprefix("sha256:") not in (
            hashlib.sha256(text.encode()).hexdigest() for text in texts
        ):
            self.fail("the lock isn't current: the requirements of the project changed since")

    def declare(self, kind: str, names: Iterable[str]) -> None:
        """Add extras or groups, which can be empty."""
        for name in names:
            self.roots.setdefault((kind, normalize_name(name)), [])

    def require(self, user: User, edge: Edge, marker: str = "") -> None:
        """Add an edge of the project, of an extra, or of a group."""
        self.roots.setdefault(user, []).append(edge | ({"marker": marker} if marker else {}))

    def is_project(self, name: str, kind: str, place: str = "") -> bool:
        """Return whether a package without a release is the project. Raises BentoError for another one."""
        return (kind != "git" and place in _HERE) or self.reject(name, kind, place)

    def reject(self, name: str, kind: str, place: str) -> NoReturn:
        """Raise BentoError for a package of a kind that nothing can verify."""
        shown = f"{kind} {without_credentials(place[:300])}"
        remedy = f"Lock a release of an index. Alternatively, {MIGRATE}, and use a wheel of the package."
        self.fail(f"{name[:100]} is from {shown}, which isn't a release with hashes", remedy)

    def add(self, name: str, version: str, files: Iterable[Mapping[str, Any]], index: Sequence[str] = ()) -> Edge:
        """Add a release, and return an edge to it. A file has `hash`, and `url` and `size` if the lock states them."""
        name = normalize_name(name)
        hashed = [file for file in files if str(file.get("hash")).startswith("sha256:")]
        if not hashed:
            self.unverified = self.unverified or f"{name[:100]} {version[:100]}"
        self._check(name, [*index, *(str(file.get("url", "")) for file in hashed)])
        table = self.packages.setdefault(
            (name, version), {"name": name, "version": version, "source": {"registry": ""}}
        )
        if hashed and all("url" in file for file in hashed):
            table["wheels"] = [file for file in hashed if re.search(r"\.whl(?:[?#]|$)", file["url"])]
            table |= {"sdist": each for each in hashed if each not in table["wheels"]}  # noqa: B035 - one
        else:
            hashes = {*table.get("hashes", ()), *(file["hash"].partition(":")[2] for file in hashed)}
            table |= {"hashes": sorted(hashes), "index": [*index]}
        return {"name": name, "version": version}

    def add_direct(self, name: str, address: str, hashes: Sequence[str] = (), commit: str = "", path: str = "") -> Edge:
        """Add a package from an address, whose file has one of `hashes`, or from a commit and a path of Git."""
        name, place = normalize_name(name), f"{self.origin}: {name[:100]}"
        self._check(name, [address])
        of_git = {"git": address, "commit": commit, "path": path or "x"}
        for kind, text in of_git.items() if commit else [("url", address)]:
            shapes.require(kind, text, place, f"Run `{self.command}`.")
        if commit:
            source = {"git": f"{address}{f'?subdirectory={path}' if path else ''}#{commit}"}
            self.packages[name, ""] = {"name": name, "source": source}
            return {"name": name}
        version = address_pin(address)[1]
        edge = self.add(name, version, [{"hash": f"sha256:{each}", "url": address} for each in hashes])
        table = self.packages[name, version]
        table["source"] = {"url": address}
        return edge if version else {"name": table.pop("version", "") or name}

    def _check(self, name: str, texts: Iterable[str]) -> None:
        for text in texts:
            reject_credentials(text, f"{self.origin}: {name}")
            reject_variables([text], f"{self.origin}: {name}")

    def edge(self, name: str, extras: Iterable[str] = (), marker: str = "") -> Edge:
        """Return an edge to the only release of a package. One that the lock lacks isn't installed, as in other locks.

        Raises BentoError for several releases, because only their ranges could choose.
        """
        name, extras = normalize_name(name), [*map(normalize_name, extras)]
        versions = [version for each, version in self.packages if each == name]
        if len(versions) > 1:
            problem = f"the lock has {name} {' and '.join(versions)}, but doesn't state where it installs which"
            self.fail(problem, f"Run `{self.upgrade}`, which keeps the versions.")
        return {"name": name} | ({"extra": extras} if extras else {}) | ({"marker": marker} if marker else {})

    def tables(self, *, is_package: bool) -> dict[str, Any]:
        """Return the tables of a `uv.lock`. Raises BentoError for a value with another syntax."""
        root: dict[str, Any] = {"name": self.project, "source": {"editable" if is_package else "virtual": "."}}
        for key, kind in (("optional-dependencies", "extra"), ("dev-dependencies", "group")):
            root[key] = {name: edges for (each, name), edges in self.roots.items() if each == kind}
        root["dependencies"] = self.roots[PROJECT]
        packages = [root, *self.packages.values()]
        document = {"version": 1, "requires-python": self.requires_python, "package": packages}
        remedy = f"Run `{self.command}`."
        check_tables(document, self.origin, remedy)
        shapes.require("range", self.requires_python, f"{self.origin}: requires-python", remedy)
        if any(name == self.project for name, _ in self.packages):
            self.fail(f"the lock has a release with the name of the project, {self.project}")
        for marker in dict.fromkeys(edge.get("marker", "") for edges in self.roots.values() for edge in edges):
            shapes.require("marker", marker, f"{self.origin}: marker", remedy)
        return document
