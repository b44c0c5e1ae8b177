"""Matches paths with BentoML's patterns in ``include``, ``exclude``, and ``.bentoignore``.

BentoML uses pathspec ("gitwildmatch"), which converts each line to a regular expression. The pattern language is the
same as in pathspec, including its peculiarities: `[!a]` matches a slash, `./x` matches nothing, and a later `!line`
applies even inside of an excluded directory. Only names with a line break might match differently, and a Bento contains
no such names.
"""

from __future__ import annotations

import posixpath
import re
import warnings
from contextlib import suppress
from functools import lru_cache

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.errors import BentoError, nearest
from rules_bento.base.tree_walk import BUILT_IN
from rules_bento.base.typing_lite import Iterable, Iterator, Mapping

# Files that the built-in exclusions exclude. Patterns for such files, which templates contain, need no file.
_BUILT_IN_FILES = tuple(f"{path}a.pyc" if path.endswith("/") else path for path in BUILT_IN)

# A regular expression with n stars needs up to (length of the path)**n steps.
MAX_STARS = 5
_MAX_TYPO = 3  # difference in length between a misspelled and the correct name
_CACHED = 64  # parsed lines, because all filters have the built-in exclusions, and several filters have equal lines

# A name at any depth without escapes and sets, with more than stars; a trailing slash matches only a directory.
_PLAIN = re.compile(r"(?!\*+/?\Z)(?P<name>[\w.*-]+)(?P<folder>/?)")
_STARS = re.compile(r"\*+")


@dataclass(frozen=True)
class Rule:
    """A line of a pattern list. If several lines match a path, the last line takes precedence."""

    text: str  # as written, without trailing white space
    number: int  # of the line, from 1
    where: str  # "pattern 2 of exclude", "line 3 of pkg/.bentoignore"
    origin: str  # "exclude", "pkg/.bentoignore"
    negated: bool  # begins with "!": the list doesn't contain a path that the line matches
    expression: re.Pattern[str]  # finds a match in each path that the line matches

    def __str__(self) -> str:
        return f"{self.where} ({self.text!r})"


class Patterns:
    """A list of patterns, one per line. If several patterns match a path, the last one takes precedence.

    A line can end with a line break. ``unit`` and ``origin`` locate a line in messages ("pattern 2 of exclude"). Empty
    lines and comments aren't in ``rules``. Raises BentoError for an invalid line.
    """

    def __init__(self, lines: Iterable[str], origin: str, unit: str = "pattern") -> None:
        self.rules: list[Rule] = []
        for number, line in enumerate(lines, 1):
            # pathspec looks for an escaped blank before it strips. In a file, the line break hides the blank, and the
            # stripped line ends with a single backslash, which is an error in pathspec too.
            text = line if line.endswith("\\ ") else line.rstrip()
            where = f"{unit} {number} of {origin}"
            try:
                expression, included = _expression(text)
            except ValueError as error:
                remedy = "Correct or remove the pattern."
                raise BentoError(f"invalid pattern {text!r}: {error}", place=where, remedy=remedy) from None
            if expression is not None:  # not an empty line, a comment, or a "[" without its "]", which git ignores
                self.rules.append(Rule(text, number, where, origin, not included, expression))
        self._last_first = [(rule.expression.search, rule) for rule in reversed(self.rules)]

    def rule(self, path: str) -> Rule | None:
        """Return the last rule that matches ``path`` (normalized and relative), or None if no rule matches."""
        for search, rule in self._last_first:
            if search(path):
                return rule
        return None

    def matches(self, path: str) -> bool:
        """Return whether the list contains ``path``."""
        rule = self.rule(path)
        return rule is not None and not rule.negated

    def unmatched(self, paths: Iterable[str]) -> list[Rule]:
        """Return the rules, including negated rules, that match none of ``paths``."""
        remaining = self.rules
        for path in paths:
            if not remaining:
                break
            remaining = [rule for rule in remaining if not rule.expression.search(path)]
        return list(remaining)


class SourceFilter:
    """A filter that applies ``include``, the built-in exclusions, ``exclude``, and ``.bentoignore`` files to paths.

    ``ignored`` maps a directory ("", "pkg", "pkg/deep") to the lines of its ``.bentoignore``. Paths are relative
    POSIX paths without empty or dot components.
    """

    def __init__(self, include: Patterns, exclude: Patterns, ignored: Mapping[str, Patterns]) -> None:
        self._include = include
        self._built_in = Patterns(BUILT_IN, "the built-in exclusions")
        # The lists that exclude files, with the directory (and its slash) that their patterns are relative to.
        self._excluding = [("", exclude)]
        self._excluding += [(f"{top}/" if top else "", patterns) for top, patterns in sorted(ignored.items())]
        self._filtered: list[str] = []
        self._matched: list[str] = []  # the only paths that patterns of excluding lists can match

    def keeps(self, path: str) -> bool:
        """Return whether the Bento includes ``path``."""
        self._filtered.append(path)
        kept = not self.always_excludes(path) and self._include.matches(path) and self._exclusion(path) is None
        if not kept:
            self._matched.append(path)
        return kept

    def always_excludes(self, path: str) -> bool:
        """Return whether the built-in exclusions exclude ``path``."""
        return self._built_in.matches(path)

    def idle(self) -> list[Rule]:
        """Return the rules that matched no path in calls of `keeps`, except for rules of built-in exclusions."""
        found = self._include.unmatched(self._filtered)
        for top, patterns in self._excluding:
            found += patterns.unmatched(path[len(top) :] for path in self._matched if path.startswith(top))
        return [rule for rule in found if rule.text != "*" and not any(map(rule.expression.search, _BUILT_IN_FILES))]

    def is_including(self, rule: Rule) -> bool:
        """Return whether a rule of ``include`` includes the paths that it matches."""
        return not rule.negated and rule in self._include.rules

    def suggestion(self, rule: Rule) -> str:
        """Return what to write instead of a rule that matches no path, or "" if nothing similar matches a path."""
        top = next((top for top, patterns in self._excluding if rule in patterns.rules), "")
        paths = [path[len(top) :] for path in self._filtered if path.startswith(top)]
        for text in _corrections(rule.text):
            with suppress(BentoError):
                if not Patterns([text], "").unmatched(paths):
                    return text
        if self.is_including(rule):
            names = {path.lower(): path for path in paths}
            return names.get(nearest(rule.text.removeprefix(".").lstrip("/").lower(), names), "")
        # Most patterns that exclude nothing aren't mistakes.
        word = rule.text.removeprefix("!").lower()
        names = {name.lower(): name for path in paths for name in _names(path)}
        close = [name for name in names if abs(len(name) - len(word)) < _MAX_TYPO]
        return names.get(nearest(word, close, 0.88), "")

    def reason(self, path: str) -> str | None:
        """Return the reason why the Bento excludes ``path``, or None if the Bento includes ``path``."""
        if self.always_excludes(path):
            rule = self._built_in.rule(path)
            return f"{rule} excludes the file, and built-in exclusions can't be overridden"
        included = self._include.rule(path)
        if included is None:
            return "no pattern of include matches the file"
        excluding = included if included.negated else self._exclusion(path)
        return f"{excluding} excludes the file" if excluding else None

    def _exclusion(self, path: str) -> Rule | None:
        """Return the rule of ``exclude`` or of a ``.bentoignore`` that excludes ``path``."""
        for top, patterns in self._excluding:
            if path.startswith(top):
                rule = patterns.rule(path[len(top) :])
                if rule is not None and not rule.negated:
                    return rule
                if rule is not None:
                    self._matched.append(path)
        return None


def _names(path: str) -> Iterator[str]:
    """Yield the name of a file, and the names of its parent directories with a slash."""
    *directories, name = path.split("/")
    yield name
    yield from (f"{directory}/" for directory in directories)


def _corrections(text: str) -> Iterator[str]:
    """Yield patterns that match paths as the author of `text` might have expected. They can be invalid."""
    mark = "!" if text.startswith("!") else ""
    plain = re.split(r"\s+#", text.removeprefix("!").strip().strip("\"'"))[0].strip("\"' ")
    path = posixpath.normpath(plain.replace("\\", "/"))  # "./a", "a//b", "a\\b"
    for found in ("*" if path == "." else path + "/" * plain.endswith(("/", "\\")), path):
        if found not in (text, "."):
            yield mark + found


@lru_cache(_CACHED)
def _expression(text: str) -> tuple[re.Pattern[str] | None, bool | None]:
    """Return the regular expression of a line, and whether the line includes paths (no leading "!").

    Both are None for a line without a pattern. Raises ValueError for an invalid pattern. Converts plain names without
    pathspec, because importing pathspec is slow.
    """
    if not text.startswith("#") and len(_STARS.findall(text)) > MAX_STARS:
        raise ValueError(f"it has more than {MAX_STARS} stars, so matching might take too long")
    plain = _PLAIN.fullmatch(text)
    if plain:
        name = re.escape(plain["name"]).replace(r"\*", "[^/]*")
        return re.compile(f"^(?:.+/)?{name}{'(?P<ps_d>/)' if plain['folder'] else '(?:(?P<ps_d>/)|$)'}"), True
    if text == "*":
        return re.compile("."), True
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    with warnings.catch_warnings():
        # "[[a]" and "[a&&b]" are plain sets, but might have another meaning in a later Python.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            pattern = GitIgnoreSpecPattern(text)
        except re.error as error:
            raise ValueError(f"it has an invalid character set ({error.msg})") from None
        except ValueError:
            end = "exclamation mark" if text == "!" else "last backslash"
            raise ValueError(f"nothing follows the {end}") from None
    return pattern.regex, pattern.include
