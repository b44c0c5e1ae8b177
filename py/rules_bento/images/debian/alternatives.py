"""Makes the links of `update-alternatives`, which maintainer scripts of Debian packages call.

Reads the scripts, and never runs them. Understands literal words, variables, `for` loops, and functions, because
scripts of Debian use these in calls. Ignores conditions: a call counts only if its file exists, as in Debian.
"""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from itertools import groupby
from operator import itemgetter

from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.images.debian.deb_rootfs import Rootfs

# The name, the link, the path of a file that the link can refer to, its priority, and the same of further links.
Alternative = tuple[str, str, str, int, list[tuple[str, str, str]]]
_DATABASE = "var/lib/dpkg/alternatives/"
_MAX_TEXT, _MAX_DEPTH, _MAX_WORD, _MAX_WORDS = 1 << 20, 5, 4096, 1000
_FUNCTION = re.compile(r"(\w+)\s*\(\)\s*\{?")
_LOOP = re.compile(r"for\s+(\w+)\s+in\s+(.*?)(?:;\s*do)?")
_ASSIGNMENT = re.compile(r"(?:local\s+|export\s+)?([A-Za-z_]\w*)=(.*)")
_CALL = re.compile(r"\bupdate-alternatives\s(.*)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PRIORITY, _NAME, _PATH = (
    re.compile(r"-?\d{1,9}"),
    re.compile(r"[\w.+-]+"),
    re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[\w.+@:-]+){2,}"),
)


class _Reader:
    """Reads the calls of one script."""

    def __init__(self) -> None:
        self.found: list[Alternative] = []
        self._functions: dict[str, Sequence[str]] = {}
        self._left = _MAX_TEXT  # of lines that are read, also repeatedly

    def read(self, lines: Sequence[str], variables: dict[str, str], depth: int = 0) -> None:
        rest = iter(lines)
        for line in rest:
            self._left -= len(line) + 1
            if self._left < 0 or depth > _MAX_DEPTH:
                return
            if match := _FUNCTION.fullmatch(line):
                self._functions[match[1]] = _block(rest, r"\{", r"\}")[:-1]
            elif match := _LOOP.fullmatch(line):
                body = _block(rest, r"(?:for|while|until)\b", r"done\b")
                self._left -= sum(map(len, body))
                for word in _words(match[2], variables):
                    variables[match[1]] = word
                    self.read(body, variables, depth + 1)
            elif match := _ASSIGNMENT.fullmatch(line):
                words = _words(match[2], variables, is_split=False)
                variables |= {match[1]: words[0]} if len(words) == 1 and words[0] else {}
            elif match := _CALL.search(line):
                self._add(_words(match[1], variables))
            elif procedure := self._functions.get(line.partition(" ")[0], ()):
                self._left -= len(variables)
                arguments = {str(number): word for number, word in enumerate(_words(line, variables))}
                self.read(procedure, variables | arguments, depth + 1)

    def _add(self, words: list[str]) -> None:
        links = [words[at : at + 5] for at, word in enumerate(words) if word in ("--install", "--slave")]
        known = [
            (name, link, path)
            for _, link, name, path, *_ in (each for each in links if len(each) > 3)
            if _is_link(name, link, path)
        ]
        match links:
            case [["--install", link, _, _, priority], *_] if _PRIORITY.fullmatch(priority):
                if known and known[0][1] == link:
                    self.found.append((*known[0], int(priority), known[1:]))


def _block(lines: Iterator[str], begin: str, end: str) -> list[str]:
    """Return the lines up to the end of a block."""
    found, depth = list[str](), 1
    for line in lines:
        depth += bool(re.match(begin, line)) - bool(re.match(end, line))
        found.append(line)
        if not depth:
            break
    return found


def _words(text: str, variables: Mapping[str, str], *, is_split: bool = True) -> list[str]:
    """Return the words of a simple command up to its end. Words with other than known variables are empty."""
    found = list[str]()
    with suppress(ValueError):
        for word in shlex.split(text, comments=True):
            if re.match(r"[;|&>)]|\d*>", word) or len(found) > _MAX_WORDS:
                break
            known = _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], "`"), word[:_MAX_WORD].rstrip(";"))
            plain = "" if re.search(r"[$`*?]", known) else known[:_MAX_WORD]
            found += plain.split() or [""] if is_split else [plain]
            if word.endswith(";"):
                break
    return found


def read(script: str) -> list[Alternative]:
    """Return the alternatives that a maintainer script installs."""
    if "update-alternatives" not in script:
        return []
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^[ \t]*#.*$", "", script)).splitlines()
    reader = _Reader()
    reader.read([line.strip() for line in lines if line.strip() != "do"], {})
    return reader.found


def entries(path: str, text: str) -> list[Alternative]:
    """Return the alternatives in a file of dpkg's database, or nothing for an unusual file."""
    lines = iter(text.split("\n"))
    next(lines)  # auto or manual
    link, own = next(lines, ""), [*iter(lambda: next(lines, ""), "")]
    slaves, found = [*zip(own[::2], own[1::2], strict=False)], list[Alternative]()
    while target := next(lines, ""):
        priority, targets = next(lines, ""), [next(lines, "") for _ in slaves]
        if not _PRIORITY.fullmatch(priority):
            return []
        name = path.rpartition("/")[2]
        if not _is_link(name, link, target):
            return []
        more = [(of, its, to) for (of, its), to in zip(slaves, targets, strict=True) if _is_link(of, its, to)]
        found.append((name, link, target, int(priority), more))
    return found


def _is_link(name: str, link: str, path: str) -> bool:
    return bool(_NAME.fullmatch(name) and _PATH.fullmatch(link) and _PATH.fullmatch(path))


def links(root: Rootfs, chosen: Iterable[str]) -> Iterator[bytes]:
    """Yield the tar members of the links to the alternatives with the highest priority, and of dpkg's database.

    `chosen` are the paths of links that the user sets.
    """
    for _, script in sorted(root.scripts.items()):
        root.alternatives += read(script)
    by_path = {(each[0], each[2]): each for each in root.alternatives}
    root.alternatives = [each for _, each in sorted(by_path.items())]
    written = {root.merged(link) for link in chosen}  # in this layer
    for name, group in groupby((each for each in root.alternatives if root.resolve(each[2])), itemgetter(0)):
        choices = list[Alternative](group)
        best = max(choices, key=itemgetter(3))  # the first of equal ones
        slaves = {slave: link for each in choices for slave, link, _ in each[4]}
        files = ((slave, slaves[slave], path) for slave, _, path in best[4] if root.resolve(path))
        for its_name, link, path in (best[:3], *files):
            targets = {root.merged(link): f"/etc/alternatives/{its_name}", f"etc/alternatives/{its_name}": path}
            for place, target in targets.items():
                if place not in written and place != root.merged(link) and root.links.get(place, target) != target:
                    root.files.pop(place)  # of a layer below
                if not root.has(place):
                    written.add(place)
                    yield from root.link(place, target)
        yield from root.replace(f"{_DATABASE}{name}", _entry(best[1], choices, sorted(slaves.items())))


def _entry(link: str, choices: Iterable[Alternative], slaves: list[tuple[str, str]]) -> bytes:
    """Return a file of dpkg's database: links, and the priorities and files of each alternative."""
    lines = ["auto", link, *(text for slave in slaves for text in slave), ""]
    for _, _, path, priority, own in choices:
        files = {name: file for name, _, file in own}
        lines += [path, str(priority), *(files.get(name, "") for name, _ in slaves)]
    return "\n".join([*lines, "", ""]).encode()
