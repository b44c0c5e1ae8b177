"""Judges what this product writes in place of maintainer scripts: links of update-alternatives(1), and ld.so.cache."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from itertools import pairwise
from posixpath import basename, dirname, join

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import Any, Callable, Iterator, Mapping, Sequence

_CALL = re.compile(r"--install[ \t].*")
_WORDS = re.compile(r"--install[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+([^\s;]+)")
_SLAVE = re.compile(r"--slave[ \t]+(\S+)[ \t]+(\S+)[ \t]+([^\s;]+)")
_VARIABLE = re.compile(r"\\\$(?:\\\{)?([A-Za-z0-9_]+)(?:\\\})?", re.ASCII)  # in a word with escapes
_PRIORITY = re.compile(r"-?[0-9]{1,9}")
_LITERAL = re.compile(r"[\w.+@:/-]+")
_UNUSUAL = "isn't of the usual form"
_MAX_NAME, _MAX_WORD = 256, 1024
# Of glibc's dl-cache.h: cache_file_new and file_entry_new. Entries have flags by architecture.
_MAGIC, _HEADER, _ENTRY = b"glibc-ld.so.cache1.1", struct.Struct("<20sIIB3sI12s"), struct.Struct("<iIIIQ")
_LIBRARIES = {"amd64": (0x303, "/lib/x86_64-linux-gnu"), "arm64": (0xA03, "/lib/aarch64-linux-gnu")}


class Choice(NamedTuple):
    """A call of update-alternatives in a script, or an alternative in dpkg's database."""

    words: tuple[str, ...]  # link, name, path, and priority
    slaves: Sequence[tuple[str, ...]]  # link, name, and path
    possible: Sequence[tuple[str, ...]]  # slaves anywhere in the script, such as in the value of a variable
    script: str = ""  # which has the values of variables in the words

    def explains(self, other: Choice) -> bool:
        """Return whether this call can make an alternative."""
        if not self.follows(self.words, other.words):
            return False
        for slave in other.slaves:
            if not any(self.follows((*self.words, *each), (*other.words, *slave)) for each in self.possible):
                return False
        return {each for each in self.slaves if all(map(_LITERAL.fullmatch, each))} <= {*other.slaves}

    def follows(self, words: Sequence[str], values: Sequence[str]) -> bool:
        """Return whether each variable in words has one value, of names that the script contains."""
        known: set[str] = set()

        def group(match: re.Match[str]) -> str:
            name, is_known = f"v{match[1]}", match[1] in known
            known.add(match[1])
            return f"(?P={name})" if is_known else f"(?P<{name}>[^\0]*)"

        found = re.fullmatch(_VARIABLE.sub(group, re.escape("\0".join(words))), "\0".join(values))
        parts = [part for value in found.groups() for part in value.split("/") if part] if found else []
        place = r"(?<![\w.+-]){}(?![\w.+-])"
        return bool(found) and all(re.search(place.format(re.escape(each)), self.script) for each in parts)


class Choices:
    """The alternatives of a base and of packages. `exists` returns whether a path leads to a file."""

    def __init__(self, before: Mapping[str, bytes], exists: Callable[[str], bool]) -> None:
        self._offers: list[Choice] = []
        self._before: dict[str, list[Choice]] = {}
        self._exists = exists
        for name, content in before.items():
            with suppress(ValueError):  # which update-alternatives couldn't read, too
                self._before[name] = _parse(name, content)

    def add(self, script: bytes) -> None:
        """Add the calls of a maintainer script."""
        plain = re.sub(r"(?m)^[ \t]*#.*$", "", script.decode("utf-8", "replace"))
        text = re.sub(r"[\"']", "", plain.replace("\\\n", " "))
        possible = _SLAVE.findall(text)
        for call in _CALL.findall(text):
            if words := _WORDS.match(call):
                self._offers.append(Choice(words.groups(), _SLAVE.findall(call), possible, text))

    def names(self) -> set[str]:
        """Return the names of alternatives that must be in dpkg's database."""
        return {each.words[1] for each in self._offers if self._is_needed(each)}

    def judge(self, name: str, content: bytes) -> tuple[str, list[tuple[str, str, str]]]:
        """Judge a file of dpkg's database. Returns a clause, or the links that it implies (link, name, and path)."""
        offers = [each for each in self._offers if each.follows(each.words[1:2], [name])]
        offers += self._before.get(name, []) if offers else []
        try:
            choices = _parse(name, content)
        except ValueError:
            return _UNUSUAL, []
        paths = [each.words[2] for each in choices]
        needed = {each.words[2] for each in offers if self._is_needed(each)}
        if paths != sorted({*paths} | needed) or not content.startswith(b"auto\n"):
            return "lacks an alternative of a package, or has another order", []
        for choice, path in zip(choices, paths, strict=True):
            if not self._exists(path) or not any(each.explains(choice) for each in offers):
                return f"has the alternative {path}, which no script of a package implies", []
        best = max(choices, key=lambda each: int(each.words[3]))
        slaves = [each for each in best.slaves if self._exists(each[2])]
        return "", [(link, its, path) for link, its, path, *_ in (best.words, *slaves)]

    def _is_needed(self, choice: Choice) -> bool:
        return all(map(_LITERAL.fullmatch, choice.words)) and self._exists(choice.words[2])


def _parse(name: str, content: bytes) -> list[Choice]:
    """Return the alternatives in a file of dpkg's database. Raises ValueError for another format."""
    head, _, rest = content.decode("utf-8", "surrogateescape").partition("\n\n")
    _, link, *own = head.split("\n")
    lines, slaves = rest.split("\n"), [*zip(own[1::2], own[::2], strict=True)]
    width = 2 + len(slaves)
    rows = [lines[at : at + width] for at in range(0, len(lines) - 2, width)]
    made = [[(*each, path) for each, path in zip(slaves, row[2:], strict=True) if path] for row in rows]
    is_valid = lines[-2:] == ["", ""] and rows and not len(lines[2:]) % width and "/" not in name
    is_valid = is_valid and all(_PRIORITY.fullmatch(row[1]) for row in rows)
    names = {each[1] for slaves in made for each in slaves}
    if not is_valid or len(names) != len(slaves) or max(map(len, [link, *own, *lines])) > _MAX_WORD:
        raise ValueError(name)
    return [Choice((link, name, *row[:2]), each, each) for row, each in zip(rows, made, strict=True)]


def cache_problem(content: bytes, base: bytes, architecture: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """Judge ld.so.cache above a base's. Returns a clause on what is wrong, and one on what isn't proven, or ""."""
    doubt, before = "", list[tuple[Any, ...]]()
    flags, place = _LIBRARIES[architecture]
    with suppress(ValueError, struct.error):  # of another format, which we replace
        before = [*_libraries(base)]
    try:
        libraries = [*_libraries(content)]
        _, count, size, _, *zeros = _HEADER.unpack_from(content)
    except (ValueError, struct.error):
        return _UNUSUAL, ""
    is_complete = (
        len({*libraries}) == count
        and len(content) == _HEADER.size + count * _ENTRY.size + size
        and zeros == [bytes(3), 0, bytes(12)]
    )
    names = [each[0] for each in libraries]
    if not is_complete or any(_order(name) < _order(after) for name, after in pairwise(names)):
        return _UNUSUAL, ""
    for name, path, *rest in {*libraries} - {*before}:
        is_library = dirname(path) in (place, "/lib") and exists(path) and rest == [flags, 0, 0]
        if not is_library or (basename(path) != name and exists(join(dirname(path), name))):
            return f"has {path} for {name}, which isn't a library of a package", ""
        if basename(path) != name:
            doubt = f"{path} may have another name than {name}"
    of_all = {name for name, _, kind, _, processor in before if (kind, processor) == (flags, 0)}
    return ("lacks libraries of the base" if of_all - {*names} else ""), doubt


def _libraries(content: bytes) -> Iterator[tuple[Any, ...]]:
    """Yield name, path, flags, and versions of the system and the processor. Raises ValueError for another format."""
    magic, count, _, order, *_ = _HEADER.unpack_from(content)
    if magic != _MAGIC or order not in (0, 2):  # little-endian
        raise ValueError(order)

    def text(at: int) -> str:
        return content[at : content.index(b"\0", at, at + _MAX_NAME)].decode("utf-8", "surrogateescape")

    for kind, name, path, *rest in _ENTRY.iter_unpack(content[_HEADER.size : _HEADER.size + count * _ENTRY.size]):
        yield text(name), text(path), kind, *rest


def _order(name: str) -> list[tuple[int, int]]:
    """Return a sort key of _dl_cache_libcmp: numbers by their value, and after all other characters."""
    return [(1, int(each)) if each.isdigit() else (0, ord(each)) for each in re.findall(r"[0-9]+|[^0-9]", name)]
