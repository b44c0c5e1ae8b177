"""BentoML's include, exclude and ``.bentoignore``: read by pathspec (1.1.1, "gitwildmatch"), matched in linear time.

pathspec makes a regular expression of each line and tries all of them on each path: the time grows with the number of
lines, and an expression with several stars backtracks (four `a*` take 0.1 s for a path, five take seconds). Therefore,
pathspec only parses the lines, and the expressions of a list become one automaton, which reads a path once.

The pieces of the expressions (a character, a set, a star, a run of directories) are laid out one after the other, and
the position before each is a bit of an integer (`_Layout`). After a prefix of a path, a bit is set if and only if the
pieces before it, of its own line, match the prefix: a nondeterministic automaton without a stack (K. Thompson, CACM
11:6, 1968) in bits (R. Baeza-Yates and G. Gonnet, CACM 35:10, 1992). A character shifts the bits whose piece accepts
it, and keeps those at a loop. Lines are in order, so the highest accepting bit belongs to the last line that matches.
Steps are remembered (`State` is a deterministic automaton, built on demand), up to a limit.

The language is pathspec's, including its oddities (tests compare both on generated lines and paths): `[!a]` matches a
slash, `./x` matches nothing, a later `!line` wins even inside an excluded directory. Only names with a line break might
differ, and a Bento contains none.
"""

from __future__ import annotations

import re
import warnings
from array import array
from bisect import bisect_right
from functools import lru_cache
from itertools import chain

from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Iterable, Mapping

BUILT_IN = (".git/", ".venv/", "venv/", "__pycache__/", ".DS_Store")

# What an automaton remembers before it starts afresh. A project of 100,000 files needs a few thousand steps and a
# few hundred states; the limits are for lists and names that somebody made up to fill the memory.
_MAX_STEPS = 100_000
_MAX_STATES = 10_000
_MAX_BITS = 1 << 28  # of all states together: 32 MB
# Of all patterns in a list: the time for each step grows with them. BentoML needs minutes for as many.
MAX_CHARACTERS = 1 << 18
MAX_SETS = 1_000  # of different sets of characters in a list, because compiling one takes up to 2 ms
_KEPT = 64  # lines that are not read anew: each filter has the built-in ones, and several the same

# A name at any depth without escapes and sets, and of more than stars; a slash behind it matches only a directory.
_PLAIN = re.compile(r"(?!\*+/?\Z)(?P<name>[\w.*-]+)(?P<folder>/?)")

# The pieces of pathspec's expressions. No set of a user has a slash, for lines are split at slashes first.
_PIECE = re.compile(
    r"""
      (?P<gap> \^\(\?:\.\+/\)\? | \(\?:/\.\+\)\?/ )  # "**" at the beginning; between two others
    | (?P<begin> \A\^ )
    | (?P<file> \(\?:\(\?P<ps_d>/\)\|\$\)\Z )
    | (?P<folder> (?: \(\?P<ps_d>/\) | / )\Z )
    | (?P<slash> / )
    | (?P<stars> \[\^/\][+*]? )
    | (?P<set> \[\^?\]?[^\]]*\] )
    | (?P<character> \\. | [^\\^$.|?*+()\[\]{}/] )
    """,
    re.VERBOSE | re.DOTALL,
)
_STARS = {"[^/]+": ("?", "*"), "[^/]*": ("*",), "[^/]": ("?",)}  # a whole component is never empty
# pathspec's short forms: what matches all paths, and all in a directory.
_ANYWHERE: dict[str, tuple[str, ...]] = {".": (), "/": ("**",), "(?P<ps_d>/)": ("**",)}


@dataclass(frozen=True)
class Rule:
    """Describes one line of a list that can decide about a path."""

    text: str  # as written, without trailing white space
    number: int  # of the line, from 1
    where: str  # "pattern 2 of exclude", "line 3 of pkg/.bentoignore"
    negated: bool  # begins with "!": a path that it matches does not belong to the list

    def __str__(self) -> str:
        return f"{self.where} ({self.text!r})"


class State(dict[str, "State"]):
    """Holds the state of an automaton after some characters; ``state[character]`` is the next one."""

    __slots__ = ("_owner", "bits", "matched", "rule")

    def __init__(self, owner: Patterns, bits: int) -> None:
        self._owner = owner
        self.bits = bits
        #: The last rule that matches a path that ends here.
        self.rule = owner._rule_at(bits)
        #: Whether a path that ends here belongs to the list.
        self.matched = self.rule is not None and not self.rule.negated

    def __missing__(self, character: str) -> State:
        following = self[character] = self._owner._step(self.bits, character)
        return following

    def after(self, text: str) -> State:
        """Return the state after some more characters."""
        state = self
        for character in text:
            state = state[character]
        return state


class Patterns:
    """Matches paths against one list of patterns, in which the last line that matches a path decides.

    ``lines`` may end in line breaks. ``unit`` and ``origin`` name their location ("pattern 2 of exclude").
    Raises BentoError for a line that pathspec cannot read.
    """

    __slots__ = ("_layout", "_masks", "_max_states", "_rules", "_states", "_steps", "start")

    def __init__(self, lines: Iterable[str], origin: str, unit: str = "pattern") -> None:
        self._layout = _Layout()
        self._rules: list[Rule] = []
        characters = 0
        for number, line in enumerate(lines, 1):
            # pathspec looks for the escaped blank before it strips: in a file the line break hides it, and the
            # stripped line then ends in a lone backslash, an error there as here.
            text = line if line.endswith("\\ ") else line.rstrip()
            characters += len(text)
            if characters > MAX_CHARACTERS and not text.startswith("#"):
                raise BentoError(
                    f"{unit} {number} of {origin}: the patterns have more than {MAX_CHARACTERS} characters. Remove "
                    f"some, or name directories."
                )
            self._add(text, number, f"{unit} {number} of {origin}")
        self._layout.finish()
        self._masks: dict[str, tuple[int, int]] = {}
        self._states: dict[int, State] = {}
        self._steps = 0
        self._max_states = min(_MAX_STATES, _MAX_BITS // (self._layout.size + 1))
        self.start = self._state(self._layout.start())

    def rule(self, path: str) -> Rule | None:
        """Return the line that decides about ``path`` (relative, POSIX, no empty or dot components), or None."""
        return self.start.after(path).rule

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Return the lines that can decide: not empty lines and comments."""
        return tuple(self._rules)

    def unmatched(self, paths: Iterable[str]) -> tuple[Rule, ...]:
        """Return the lines that match none of ``paths``, negated ones too."""
        reached = 0
        for path in paths:
            reached |= self.start.after(path).bits
        return self.unreached(reached)

    def unreached(self, reached: int) -> tuple[Rule, ...]:
        """Return the lines that match no path; ``reached`` are the bits at the ends of all paths."""
        # A text of the bits, because shifting a long number once for each rule takes quadratic time.
        positions = f"{reached & self._layout.accepting:b}"[::-1]
        ends = [*self._layout.starts, self._layout.size][1:]
        return tuple(
            rule
            for rule, start, end in zip(self._rules, self._layout.starts, ends, strict=True)
            if "1" not in positions[start:end]
        )

    def _add(self, text: str, number: int, where: str) -> None:
        try:
            expression, included = _expression(text)
        except ValueError:
            reason = "nothing follows the exclamation mark" if text == "!" else "its backslash escapes nothing"
            raise BentoError(f"{where}: invalid pattern {text!r}: {reason}. Correct or remove it.") from None
        if expression is None:
            return  # empty, a comment, or a "[" without its "]", which git ignores
        try:
            self._layout.add(_segments(expression))
        except ValueError as error:
            raise BentoError(f"{where}: invalid pattern {text!r}: {error}. Correct or remove it.") from None
        self._rules.append(Rule(text, number, where, negated=not included))

    def _rule_at(self, bits: int) -> Rule | None:
        accepted = bits & self._layout.accepting
        if not accepted:
            return None
        # Patterns lie one after the other, so the highest bit belongs to the last that matches.
        return self._rules[bisect_right(self._layout.starts, accepted.bit_length() - 1) - 1]

    def _step(self, bits: int, character: str) -> State:
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
            masks = self._masks[character] = self._layout.masks(character)
        moving, staying = masks
        moved = (bits & moving) << 1
        # "**" also matches no directory: a state that reaches it has also passed it.
        moved |= (moved & self._layout.gaps) << 1
        return self._state(moved | bits & staying)

    def _state(self, bits: int) -> State:
        state = self._states.get(bits)
        if state is None:
            state = self._states[bits] = State(self, bits)
        return state


class _Verdict(dict[str, "_Verdict"]):
    """Steps the states of all lists together: one look-up for each character."""

    __slots__ = ("_owner", "kept", "states")

    def __init__(self, owner: SourceFilter, states: tuple[State, ...]) -> None:
        self._owner = owner
        self.states = states  # built-in, include, exclude, and each .bentoignore above
        built_in, include, *dropping = states
        self.kept = include.matched and not any(state.matched for state in (built_in, *dropping))

    def __missing__(self, character: str) -> _Verdict:
        following = self._owner._verdict(tuple([state[character] for state in self.states]))
        self[character] = following
        return following


class SourceFilter:
    """Decides whether a Bento keeps a path: BentoML's four tests, each with a list of its own.

    ``ignored`` maps a directory ("", "pkg", "pkg/deep") to the lines of the ``.bentoignore`` in it. Paths are
    relative and POSIX, without empty or dot components.
    """

    __slots__ = ("_folders", "_ignored", "_include", "_max_verdicts", "_reached", "_verdicts")

    def __init__(self, include: Patterns, exclude: Patterns, ignored: Mapping[str, Patterns]) -> None:
        self._ignored = ignored
        self._include = include
        self._reached = 0
        self._max_verdicts = min(lines._max_states for lines in (include, exclude, *ignored.values()))
        self._verdicts: dict[tuple[int, ...], _Verdict] = {}
        root = self._verdict((Patterns(BUILT_IN, "the built-in exclusions").start, include.start, exclude.start))
        self._folders = {"": self._with_ignore_file("", root)}

    def keeps(self, path: str, *, filtered: bool) -> bool:
        """Return whether the Bento holds ``path``; unless ``filtered``, only the built-in exclusions count."""
        verdict = self._at(path)
        if not filtered:
            return not verdict.states[0].matched
        self._reached |= verdict.states[1].bits
        return verdict.kept

    def idle(self) -> tuple[Rule, ...]:
        """Return the lines of ``include`` that would include files, but match none of the paths of `keeps`."""
        return tuple(rule for rule in self._include.unreached(self._reached) if not rule.negated)

    def reason(self, path: str, *, filtered: bool) -> str | None:
        """Return the reason why ``path`` isn't in the Bento; None if the Bento includes it."""
        verdict = self._at(path)
        built_in, include, *dropping = verdict.states
        if built_in.matched:
            return f"{built_in.rule} drops it, and no line includes it again"
        if not filtered or verdict.kept:
            return None
        if not include.matched:
            rule = include.rule
            return f"{rule} drops it" if rule else "no pattern of include matches it (none may begin with './')"
        return f"{next(state.rule for state in dropping if state.matched)} drops it"

    def _at(self, path: str) -> _Verdict:
        folder, _, name = path.rpartition("/")
        verdict = self._folders.get(folder)
        if verdict is None:
            verdict = self._enter(folder)
        for character in name:
            verdict = verdict[character]
        return verdict

    def _enter(self, folder: str) -> _Verdict:
        known = folder
        while known not in self._folders:
            known = known.rpartition("/")[0]
        verdict = self._folders[known]
        # Not by recursion: a path may have more folders than Python has stack.
        for name in folder[len(known) :].strip("/").split("/"):
            known = f"{known}/{name}" if known else name
            for character in f"{name}/":
                verdict = verdict[character]
            verdict = self._folders[known] = self._with_ignore_file(known, verdict)
        return verdict

    def _with_ignore_file(self, folder: str, verdict: _Verdict) -> _Verdict:
        patterns = self._ignored.get(folder)
        return self._verdict((*verdict.states, patterns.start)) if patterns else verdict

    def _verdict(self, states: tuple[State, ...]) -> _Verdict:
        # States are unique while something holds them, and each verdict holds its own.
        key = tuple(map(id, states))
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) > self._max_verdicts:
                for other in self._verdicts.values():
                    other.clear()
                self._verdicts.clear()
            verdict = self._verdicts[key] = _Verdict(self, states)
        return verdict


@lru_cache(_KEPT)
def _expression(text: str) -> tuple[str | None, bool | None]:
    """Return a line as pathspec's regular expression, and False if the line begins with "!"; None for a comment.

    A plain name, as most lines are, is spelt out here as pathspec does it (a test compares the two), for importing
    pathspec costs a tenth of an action. Raises ValueError for an invalid pattern.
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


@lru_cache(_KEPT)
def _segments(expression: str) -> list[str | list[str]]:
    """Return the components of the paths that pathspec's expression describes, each as its tokens.

    "**" matches any number of directories, and at the end their contents. Tokens are "*", "?", "[...]" in the syntax of
    ``re``, and "=" before any other character. Raises ValueError for a part that pathspec doesn't generate.
    """
    if expression in _ANYWHERE:
        return ["**", ["?", "*"], *_ANYWHERE[expression]]
    # The expression's "^" or "^(?:.+/)?" begins the first component.
    segments: list[str | list[str]] = []
    tokens: list[str] = []
    position = 0
    while position < len(expression):
        piece = _PIECE.match(expression, position)
        if piece is None:
            raise ValueError(
                f"its expression {expression!r} has an unsupported part at {position} (supported: pathspec 1.1.1)"
            )
        position = piece.end()
        kind = piece.lastgroup
        if kind == "gap":
            segments += ["**"] if piece[0].startswith("^") else [tokens, "**"]
            tokens = []
        elif kind == "folder":
            segments += [tokens, "**"]
        elif kind == "file":
            segments.append(tokens)
        elif kind == "slash":
            segments.append(tokens)
            tokens = []
        elif kind == "character":
            tokens.append("=" + piece[0][-1])
        elif kind == "set":
            tokens.append(piece[0])
        elif kind == "stars":
            tokens += _STARS[piece[0]]
    return segments


def _compiled(bracket: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        # "[[a]" and "[a&&b]" may mean something else to a later Python; they are plain sets today.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return re.compile(bracket)
        except re.error as error:
            raise ValueError(f"{bracket} isn't a set of characters ({error.msg})") from None


class _Layout:
    """Numbers the positions of an automaton, each between two pieces of a pattern, each a bit.

    A character moves a bit on to the next position where the piece takes it, and lets it stay where the
    position is a loop ("*", "**", and the end of a pattern that has matched a directory).
    """

    def __init__(self) -> None:
        self.size = 0  # positions so far
        self.starts: list[int] = []  # first position of each pattern
        self._literals: dict[str, array[int]] = {}  # positions that this one character leaves
        self._brackets: dict[re.Pattern[str], array[int]] = {}  # positions that a set of characters leaves
        self._accepting = array("L")  # positions at which a path has matched, if it ends
        self._gaps = array("L")  # positions of "**"
        self._within = array("L")  # positions that all but a slash leave
        self._stars = array("L")  # positions that all but a slash stay at
        self._loops = array("L")  # positions that every character stays at

    def finish(self) -> None:
        """Turn positions into bits, all at once: to add a bit to a long number takes as long as to write it."""
        self.accepting, self.gaps = self._bits(self._accepting), self._bits(self._gaps)
        self._leaving, self._looping = self._bits(self._within), self._bits(self._loops)
        self._staying = self._looping | self._bits(self._stars)

    def _bits(self, *positions: Iterable[int]) -> int:
        written = bytearray(self.size // 8 + 1)
        for position in chain(*positions):
            written[position >> 3] |= 1 << (position & 7)
        return int.from_bytes(written, "little")

    def add(self, segments: list[str | list[str]]) -> None:
        """Lay out a pattern: the tokens of each component, or "**" in its place.

        Raises ValueError for a bracket expression that ``re`` rejects.
        """
        brackets: dict[str, re.Pattern[str]] = {}
        for token in chain.from_iterable(tokens for tokens in segments if isinstance(tokens, list)):
            if token.startswith("[") and token not in brackets:
                brackets[token] = _compiled(token)
            if len(brackets) > MAX_SETS or len(self._brackets) > MAX_SETS:
                raise ValueError(f"its list has more than {MAX_SETS} different sets of characters")
        self.starts.append(self.size)
        for index, segment in enumerate(segments):
            if index and segments[index - 1] != "**":
                self._move("/")
            if isinstance(segment, list):
                self._component(segment, brackets)
            elif index < len(segments) - 1:
                self._gap()
        self._end(of_folder=segments[-1] == "**")

    def start(self) -> int:
        """Return the positions before the first character."""
        firsts = self._bits(self.starts)
        return firsts | (firsts & self.gaps) << 1

    def masks(self, character: str) -> tuple[int, int]:
        """Return the positions that ``character`` leaves, and those that it stays at."""
        leaving = [positions for pattern, positions in self._brackets.items() if pattern.match(character)]
        if character in self._literals:
            leaving.append(self._literals[character])
        moving = self._bits(*leaving) if leaving else 0
        return (moving, self._looping) if character == "/" else (moving | self._leaving, self._staying)

    def _move(self, character: str) -> None:
        self._literals.setdefault(character, array("L")).append(self.size)
        self.size += 1

    def _component(self, tokens: list[str], brackets: dict[str, re.Pattern[str]]) -> None:
        for token in tokens:
            if token == "*":
                self._stars.append(self.size)
            elif token.startswith("="):
                self._move(token[1:])
            elif token == "?":
                self._within.append(self.size)
                self.size += 1
            else:
                self._brackets.setdefault(brackets[token], array("L")).append(self.size)
                self.size += 1

    def _gap(self) -> None:
        self._gaps.append(self.size)
        self._loops.append(self.size)
        self._move("/")

    def _end(self, *, of_folder: bool) -> None:
        if not of_folder:
            self._accepting.append(self.size)
            self._move("/")
        self._accepting.append(self.size)
        self._loops.append(self.size)
        self.size += 1
