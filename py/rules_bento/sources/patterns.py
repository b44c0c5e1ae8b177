"""Matches paths with BentoML's patterns in ``include``, ``exclude``, and ``.bentoignore``, in linear time.

BentoML uses pathspec (1.1.1, "gitwildmatch"). pathspec compiles each line to a regular expression and tries all
expressions on each path. The time grows with the number of lines, and an expression with several stars backtracks.
Matching one path with a pattern of five `a*` can take seconds. Therefore, this module uses pathspec only to parse the
lines, and combines the expressions of all lists in one automaton, which reads a path once.

An expression consists of pieces: a character, a set, a star, or any number of directories. In `_Layout`, each position
before a piece is one bit of an integer. After the automaton has read the start of a path, a bit is set if the preceding
pieces of the same line match this start. This is a bit-parallel nondeterministic automaton (K. Thompson, CACM 11:6,
1968; R. Baeza-Yates and G. Gonnet, CACM 35:10, 1992). For each character, the automaton shifts the bits of pieces that
accept the character. A bit before a star also remains set. The highest accepting bit of a list belongs to the last
matching line, because lines are in order. `_State` caches steps, up to a limit, as a deterministic automaton.

The pattern language is the same as in pathspec, including its peculiarities: `[!a]` matches a slash, `./x` matches
nothing, and a later `!line` applies even inside of an excluded directory. Only names with a line break might match
differently, and a Bento contains no such names.
"""

from __future__ import annotations

import re
import warnings
from array import array
from bisect import bisect_right
from functools import cached_property, lru_cache
from itertools import accumulate, chain, pairwise

from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Iterable, Mapping, Sequence

BUILT_IN = (".git/", ".venv/", "venv/", "__pycache__/", ".DS_Store")

# Limits of an automaton's cache. A project of 100,000 files needs a few thousand steps and a few hundred states. The
# limits are for malicious lists and names.
_MAX_STEPS = 100_000
_MAX_STATES = 10_000
_MAX_BITS = 1 << 28  # of all states together: 32 MB
# The time of a step grows with the patterns. BentoML needs minutes for as many.
MAX_CHARACTERS = 1 << 18  # of all patterns in a list
MAX_SETS = 1_000  # of different character sets in a list, because compiling one takes up to 2 ms
_CACHED = 64  # parsed lines, because all filters have the built-in exclusions, and several filters have equal lines

# A name at any depth without escapes and sets, with more than stars; a trailing slash matches only a directory.
_PLAIN = re.compile(r"(?!\*+/?\Z)(?P<name>[\w.*-]+)(?P<folder>/?)")

# The pieces of pathspec's expressions, and the tokens of each: "**" is any number of directories, "*" any number of
# characters without a slash, "[...]" a set of characters, "=" precedes a single character, and "$" is the end of a path
# that can also be a directory. Sets of users have no slash, because lines are split at slashes first.
_TOKENS = {
    "^(?:.+/)?": ("**",),
    "^": (),
    "(?:/.+)?/": ("=/", "**"),
    "(?:(?P<ps_d>/)|$)": ("$",),
    "(?P<ps_d>/)": ("=/",),
    "/": ("=/",),
    "[^/]+": ("[^/]", "*"),  # a complete component is never empty
    "[^/]*": ("*",),
    "[^/]": ("[^/]",),
}
_FIXED = "|".join(
    (r"\A" if piece.startswith("^") else "") + re.escape(piece) + (r"\Z" if "ps_d" in piece else "")
    for piece in _TOKENS
)
_PIECE = re.compile(
    rf"(?P<fixed>{_FIXED})|(?P<set>\[\^?\]?[^\]]*\])|(?P<character>\\.|[^\\^$.|?*+()\[\]{{}}/])", re.DOTALL
)
# pathspec's short forms for all paths, and for all paths in a directory.
_SHORT = {".": "$", "/": "=/", "(?P<ps_d>/)": "=/"}


@dataclass(frozen=True)
class Rule:
    """A line of a pattern list. If several lines match a path, the last line takes precedence."""

    text: str  # as written, without trailing white space
    number: int  # of the line, from 1
    where: str  # "pattern 2 of exclude", "line 3 of pkg/.bentoignore"
    negated: bool  # begins with "!": the list doesn't contain a path that the line matches

    def __str__(self) -> str:
        return f"{self.where} ({self.text!r})"


class _State(dict[str, "_State"]):
    """The state of an automaton after a prefix of a path. ``state[character]`` is the next state."""

    __slots__ = ("_automaton", "bits", "matched", "rules")

    def __init__(self, automaton: _Automaton, bits: int) -> None:
        self._automaton = automaton
        self.bits = bits
        self.rules = automaton.rules_at(bits)  # the last matching rule of each list, by list number
        self.matched = frozenset([number for number, rule in self.rules.items() if not rule.negated])

    def __missing__(self, character: str) -> _State:
        following = self[character] = self._automaton.step(self.bits, character)
        return following

    def after(self, text: str) -> _State:
        """Return the state after the characters of ``text``."""
        state = self
        for character in text:
            state = state[character]
        return state


class Patterns:
    """A list of patterns, one per line. If several patterns match a path, the last one takes precedence.

    A line can end with a line break. ``unit`` and ``origin`` locate a line in messages ("pattern 2 of exclude"). Empty
    lines and comments aren't in ``rules``. Raises BentoError for an invalid line, or if the patterns are too long.
    """

    def __init__(self, lines: Iterable[str], origin: str, unit: str = "pattern") -> None:
        self.layout = _Layout()
        self.rules: list[Rule] = []
        characters = 0
        for number, line in enumerate(lines, 1):
            # pathspec looks for an escaped blank before it strips. In a file, the line break hides the blank, and the
            # stripped line ends with a single backslash, which is an error in pathspec too.
            text = line if line.endswith("\\ ") else line.rstrip()
            characters += len(text)
            if characters > MAX_CHARACTERS and not text.startswith("#"):
                raise BentoError(
                    f"{unit} {number} of {origin}: the patterns exceed {MAX_CHARACTERS} characters in total. Remove "
                    "patterns, or match directories instead of single files."
                )
            self._add(text, number, f"{unit} {number} of {origin}")
        self.layout.finish()

    @cached_property
    def _start(self) -> _State:
        automaton = _Automaton((self,))
        return automaton.state(automaton.start(0))

    def rule(self, path: str) -> Rule | None:
        """Return the last rule that matches ``path`` (normalized and relative), or None if no rule matches."""
        return self._start.after(path).rules.get(0)

    def unmatched(self, paths: Iterable[str]) -> list[Rule]:
        """Return the rules, including negated rules, that match none of ``paths``."""
        reached = 0
        for path in paths:
            reached |= self._start.after(path).bits
        return self.unreached(reached)

    def unreached(self, reached: int) -> list[Rule]:
        """Return the rules that match no path. ``reached`` is the bitwise OR of `_State.bits` after each path."""
        # A string of bits, because shifting a long number once for each rule takes quadratic time.
        positions = f"{reached & self.layout.accepting:b}"[::-1]
        bounds = pairwise([*self.layout.starts, self.layout.size])
        return [rule for rule, (start, end) in zip(self.rules, bounds, strict=True) if "1" not in positions[start:end]]

    def _add(self, text: str, number: int, where: str) -> None:
        try:
            expression, included = _expression(text)
        except ValueError:
            reason = f"nothing follows the {'exclamation mark' if text == '!' else 'last backslash'}"
            raise BentoError(f"{where}: invalid pattern {text!r}: {reason}. Correct or remove the pattern.") from None
        if expression is None:
            return  # an empty line, a comment, or a "[" without its "]", which git ignores
        try:
            self.layout.add(_tokens(expression))
        except ValueError as error:
            raise BentoError(f"{where}: invalid pattern {text!r}: {error}. Correct or remove the pattern.") from None
        self.rules.append(Rule(text, number, where, negated=not included))


class _Automaton:
    """Matches several pattern lists in one pass. A state has bits for each list. Later lists have higher bits."""

    def __init__(self, lists: Sequence[Patterns]) -> None:
        self._lists = lists
        self._offsets = list(accumulate([patterns.layout.size for patterns in lists], initial=0))
        self._accepting = self._join(patterns.layout.accepting for patterns in lists)
        self._gaps = self._join(patterns.layout.gaps for patterns in lists)
        self._masks: dict[str, tuple[int, int]] = {}
        self._states: dict[int, _State] = {}
        self._steps = 0
        self._max_states = min(_MAX_STATES, _MAX_BITS // (self._offsets[-1] + 1))

    def _join(self, bits: Iterable[int]) -> int:
        """Combine `bits`, a bit mask for each list, into one integer."""
        joined = 0
        for offset, own in zip(self._offsets, bits, strict=False):
            joined |= own << offset
        return joined

    def start(self, *numbers: int) -> int:
        """Return the initial state of the lists at the indexes ``numbers``. The bits of other lists are 0."""
        lists = enumerate(self._lists)
        return self._join(patterns.layout.start() if number in numbers else 0 for number, patterns in lists)

    def rules_at(self, bits: int) -> dict[int, Rule]:
        """Return the last matching rule of each list, by list number. Omits lists without a match."""
        accepted = bits & self._accepting
        rules = {}
        while accepted:
            number = bisect_right(self._offsets, accepted.bit_length() - 1) - 1
            patterns, offset = self._lists[number], self._offsets[number]
            # The positions of a list's patterns are consecutive, so the highest bit belongs to the last match.
            position = accepted.bit_length() - 1 - offset
            rules[number] = patterns.rules[bisect_right(patterns.layout.starts, position) - 1]
            accepted &= (1 << offset) - 1
        return rules

    def step(self, bits: int, character: str) -> _State:
        """Return the next state after ``character``. ``bits`` represents the current state."""
        self._steps += 1
        if self._steps > _MAX_STEPS or len(self._states) > self._max_states:
            for state in self._states.values():
                state.clear()
            self._states.clear()
            self._steps = 0
        masks = self._masks.get(character)
        if masks is None:
            if len(self._masks) > self._max_states:
                self._masks.clear()
            moving, staying = zip(*[patterns.layout.masks(character) for patterns in self._lists], strict=True)
            masks = self._masks[character] = self._join(moving), self._join(staying)
        moved = (bits & masks[0]) << 1
        # "**" also matches no directory: a state that reaches it has also passed it.
        moved |= (moved & self._gaps) << 1
        return self.state(moved | bits & masks[1])

    def state(self, bits: int) -> _State:
        """Return the cached state with these bits. Creates the state if necessary."""
        state = self._states.get(bits)
        if state is None:
            state = self._states[bits] = _State(self, bits)
        return state


_INCLUDE, _BUILT_IN, _EXCLUDE = range(3)  # numbers of lists; files named .bentoignore follow
_KEPT = frozenset([_INCLUDE])  # the lists that match the paths of a Bento


class SourceFilter:
    """A filter that applies ``include``, the built-in exclusions, ``exclude``, and ``.bentoignore`` files to paths.

    ``ignored`` maps a directory ("", "pkg", "pkg/deep") to the lines of its ``.bentoignore``. Paths are relative
    POSIX paths without empty or dot components.
    """

    def __init__(self, include: Patterns, exclude: Patterns, ignored: Mapping[str, Patterns]) -> None:
        built_in = Patterns(BUILT_IN, "the built-in exclusions")
        directories = sorted(ignored)
        self._ignored = {directory: number for number, directory in enumerate(directories, _EXCLUDE + 1)}
        self._include = include
        self._reached = 0
        self._automaton = _Automaton([include, built_in, exclude, *(ignored[directory] for directory in directories)])
        root = self._automaton.start(_INCLUDE, _BUILT_IN, _EXCLUDE)
        self._directories = {"": self._with_ignore_file("", self._automaton.state(root))}

    def keeps(self, path: str, *, filtered: bool) -> bool:
        """Return whether the Bento includes ``path``. Applies only the built-in exclusions if ``filtered`` is false."""
        state = self._at(path)
        if not filtered:
            return _BUILT_IN not in state.matched
        self._reached |= state.bits
        return state.matched == _KEPT

    def idle(self) -> list[Rule]:
        """Return the ``include`` rules that matched no path in calls of `keeps`. Omits negated rules."""
        return [rule for rule in self._include.unreached(self._reached) if not rule.negated]

    def reason(self, path: str, *, filtered: bool) -> str | None:
        """Return the reason why the Bento excludes ``path``, or None if the Bento includes ``path``."""
        state = self._at(path)
        if _BUILT_IN in state.matched:
            return f"{state.rules[_BUILT_IN]} excludes the file, and built-in exclusions can't be overridden"
        if not filtered or state.matched == _KEPT:
            return None
        if _INCLUDE in state.matched:
            return f"{state.rules[min(state.matched - _KEPT)]} excludes the file"
        rule = state.rules.get(_INCLUDE)
        return f"{rule} excludes the file" if rule else "no pattern of include matches the file"

    def _at(self, path: str) -> _State:
        directory, _, name = path.rpartition("/")
        state = self._directories.get(directory)
        if state is None:
            state = self._enter(directory)
        return state.after(name)

    def _enter(self, directory: str) -> _State:
        known = directory
        while known not in self._directories:
            known = known.rpartition("/")[0]
        state = self._directories[known]
        # Not recursive: a path can have more directories than Python's stack has frames.
        for name in directory[len(known) :].strip("/").split("/"):
            known = f"{known}/{name}" if known else name
            state = self._directories[known] = self._with_ignore_file(known, state.after(f"{name}/"))
        return state

    def _with_ignore_file(self, directory: str, state: _State) -> _State:
        number = self._ignored.get(directory)
        return state if number is None else self._automaton.state(state.bits | self._automaton.start(number))


@lru_cache(_CACHED)
def _expression(text: str) -> tuple[str | None, bool | None]:
    """Return pathspec's regular expression for a line, and whether the line includes paths (no leading "!").

    Both are None for a line without a pattern. Raises ValueError for an invalid pattern. Converts plain names without
    pathspec, because importing pathspec is slow.
    """
    plain = _PLAIN.fullmatch(text)
    if plain:
        name = re.escape(plain["name"]).replace(r"\*", "[^/]*")
        return f"^(?:.+/)?{name}{'(?P<ps_d>/)' if plain['folder'] else '(?:(?P<ps_d>/)|$)'}", True
    if text == "*":
        return ".", True
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    written: tuple[str | None, bool | None] = GitIgnoreSpecPattern.pattern_to_regex(text)
    return written


@lru_cache(_CACHED)
def _tokens(expression: str) -> list[str]:
    """Split a regular expression of pathspec into tokens. Raises ValueError for an unsupported expression."""
    if expression in _SHORT:
        return ["**", "[^/]", "*", _SHORT[expression]]
    tokens: list[str] = []
    start = 0
    while start < len(expression):
        piece = _PIECE.match(expression, start)
        if piece is None:
            raise ValueError(f"expression {expression!r} is unsupported at position {start} (use pathspec 1.1.1)")
        start = piece.end()
        if piece["fixed"]:
            tokens += _TOKENS[piece[0]]
        else:
            tokens.append(piece["set"] or f"={piece[0][-1]}")
    return tokens


def _compiled(bracket: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # "[[a]" and "[a&&b]" are plain sets, but might have another meaning in a later Python.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return re.compile(bracket)
        except re.error as error:
            raise ValueError(f"{bracket} isn't a valid character set ({error.msg})") from None


class _Layout:
    """Assigns a bit to each position in a list of patterns. Positions are before each piece and at each pattern's end.

    When the automaton reads a character, a bit moves to the next position if the piece between the two positions
    accepts the character. A bit also stays before a "*" or "**", and at the end of a pattern that matches a directory.
    """

    def __init__(self) -> None:
        self.size = 0  # positions so far
        self.starts: list[int] = []  # first position of each pattern
        self._literals: dict[str, array[int]] = {}  # positions of a piece that accepts only this character
        self._sets: dict[str, tuple[re.Pattern[str], array[int]]] = {}  # positions of a set of characters
        self._accepting = array("L")  # positions where the complete pattern matches
        self._gaps = array("L")  # positions of "**"
        self._stars = array("L")  # loops for all characters except a slash
        self._loops = array("L")  # loops for all characters

    def finish(self) -> None:
        """Convert the positions to integers. Call this method after the last call of `add`."""
        self.accepting, self.gaps = self._bits(self._accepting), self._bits(self._gaps)
        self._looping = self._bits(self._loops)
        self._staying = self._looping | self._bits(self._stars)

    def _bits(self, *positions: Iterable[int]) -> int:
        written = bytearray(self.size // 8 + 1)
        for position in chain(*positions):
            written[position >> 3] |= 1 << (position & 7)
        return int.from_bytes(written, "little")

    def add(self, tokens: list[str]) -> None:
        """Add a pattern that consists of ``tokens``.

        Raises ValueError for an invalid set of characters, or for too many sets.
        """
        self.starts.append(self.size)
        for token in tokens:
            if token == "*":
                self._stars.append(self.size)
            elif token.startswith("["):
                self._move_by_set(token)
            elif token == "**":
                self._gaps.append(self.size)
                self._loops.append(self.size)
                self._move("/")
            elif token == "$":
                self._accepting.append(self.size)
                self._move("/")
            else:
                self._move(token[1:])
        # A pattern that matches a directory also matches its contents.
        self._accepting.append(self.size)
        self._loops.append(self.size)
        self.size += 1

    def start(self) -> int:
        """Return the bits that are set before the first character of a path."""
        firsts = self._bits(self.starts)
        return firsts | (firsts & self.gaps) << 1

    def masks(self, character: str) -> tuple[int, int]:
        """Return two masks for ``character``: the bits that move to the next position, and the bits that stay."""
        leaving = [positions for pattern, positions in self._sets.values() if pattern.match(character)]
        if character in self._literals:
            leaving.append(self._literals[character])
        moving = self._bits(*leaving) if leaving else 0
        return (moving, self._looping if character == "/" else self._staying)

    def _move(self, character: str) -> None:
        self._literals.setdefault(character, array("L")).append(self.size)
        self.size += 1

    def _move_by_set(self, bracket: str) -> None:
        if bracket not in self._sets:
            self._sets[bracket] = (_compiled(bracket), array("L"))
            if len(self._sets) > MAX_SETS:
                raise ValueError(f"the patterns have more than {MAX_SETS} different character sets")
        self._sets[bracket][1].append(self.size)
        self.size += 1
