"""What the modules exchange: members of layers, what must be there, and what is wrong."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ENVIRONMENT, HOME, APP = "app/.venv", "home/bentoml", "app/_main"
USER, ROOT = (1034, 1034), (0, 0)


class InvalidError(Exception):
    """Something of the image is wrong, or has a form that isn't accepted. The message is a clause."""


class UnableError(Exception):
    """Something that is trusted can't be read, or a program is missing: nothing is proven."""


class Member(NamedTuple):
    """A file, link, hard link, or directory."""

    kind: str
    mode: int
    owner: tuple[int, int]
    what: str = ""  # SHA-256 of a file, or target of a link
    size: int = 0
    offset: int = 0  # of its data in the layer


Found = tuple[int, str, Member]  # a layer, a path, and what is there


class Expected(NamedTuple):
    """A member that an image must have, and what implies it: a column of the report, and a name."""

    member: Member
    source: str
    origin: str
    hashes: frozenset[str] = frozenset()  # SHA-256 of all files that can be at its place, if several can

    def difference(self, member: Member) -> str:
        """Return a clause on how a member differs, or ""."""
        right = self.member
        if member.kind != right.kind:
            return f"is a {member.kind}, but {self.origin} has a {right.kind}"
        if (member.mode, member.owner) != (right.mode, right.owner):
            return "has mode {:o} of {} instead of {:o} of {}".format(*member[1:3], *right[1:3])
        if member.what not in (right.what, *self.hashes):
            return f"has other contents than in {self.origin}" if right.kind == "file" else f"links to {member.what}"
        return ""


@dataclass
class Report:
    """The result for one image."""

    digest: str
    platform: str = ""
    command: list[Any] = field(default_factory=list)
    layers: list[tuple[str, int]] = field(default_factory=list)  # digests and bytes
    proven: list[Counter[str]] = field(default_factory=list)  # files by source, for each layer
    sizes: list[Counter[str]] = field(default_factory=list)  # bytes of these files
    findings: list[tuple[int | None, str, str]] = field(default_factory=list)  # layer, path, and a clause
    unproven: list[tuple[int | None, str, str, int]] = field(default_factory=list)  # and bytes; -1: not measured
    expect: dict[str, Any] = field(default_factory=dict)  # settings that a person must review
    packages: list[tuple[str, str]] = field(default_factory=list)  # names and versions
    newest: str = ""  # for `bento verify --age`

    @property
    def unproven_bytes(self) -> float:
        return sum(math.inf if size < 0 else size for *_, size in self.unproven)

    def find(self, layer: int | None, path: str, problem: str) -> None:
        self.findings.append((layer, path, problem))

    def prove(self, layer: int, source: str, size: int) -> None:
        self.proven[layer][source] += 1
        self.sizes[layer][source] += size

    def doubt(self, layer: int | None, path: str, reason: str, size: int = 0) -> None:
        self.unproven.append((layer, path, reason, size))


def parents(path: str) -> list[str]:
    """Return the directories above a path, the topmost first."""
    return [path[:at] for at, each in enumerate(path) if each == "/"]


def parse(data: bytes, name: str, same: Callable[[str], str] = str.casefold) -> dict[str, Any]:
    """Parse a JSON object. Raises InvalidError for what programs could read differently: Go ignores fields' case."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({same(key) for key, _ in pairs}) != len(pairs):
            raise InvalidError(f"{name}: has a field twice, but for its case")
        return dict(pairs)

    if not data.startswith(b"{"):  # such as a byte order mark
        raise InvalidError(f"{name}: doesn't begin with {{, so that other programs can't read it")
    try:
        found: dict[str, Any] = json.loads(data.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{name}: isn't JSON ({error})") from None
    return found


def canonical(value: object) -> str:
    """Return a string that differs for values that JSON distinguishes, such as 1 and true."""
    return json.dumps(value, sort_keys=True)


def inside(document: Any, name: str, kind: type = dict) -> Any:
    """Return an object, or a list, in an object: {} or [] if there is none."""
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, kind) else kind()
