"""Patterns match the same paths as in pathspec, which BentoML uses."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import PathSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources import patterns
from rules_bento.bentos.sources.patterns import Patterns, SourceFilter

# Few letters, so that generated paths and lines meet; every character that means something in a line.
PIECES = [*"ab/*?[]!^-\\. #c", "**", "**/", "/**", "[a-c]", "[!a]", "[+-9]", "a/", "\t"]
NAMES = ["a", "b", "c", "aa", "ab", ".a", "a.b", "-", "[", "]", "\\", "!a", "#", "*", "a ", " ", "é", "^"]

words = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join)
lines_of_patterns = st.lists(st.builds(str.__add__, words, st.sampled_from(["", "\n"])), max_size=4)
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)


def judge(lines: list[str]) -> PathSpec[Any] | None:
    """Return BentoML's matcher, or None for lines that BentoML or our limit rejects."""
    if any(len(re.findall(r"\*+", line)) > patterns.MAX_STARS and not line.startswith("#") for line in lines):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return PathSpec.from_lines("gitwildmatch", lines)
        except (ValueError, re.error):
            return None


def compare(lines: list[str], candidates: list[str]) -> None:
    judged = judge(lines)
    if judged is None:
        with pytest.raises(BentoError):
            Patterns(lines, "include")
        return
    ours = Patterns(lines, "include")
    for path in candidates:
        decision = judged.check_file(path)
        rule = ours.rule(path)
        assert (rule and rule.where) == (None if decision.index is None else f"pattern {decision.index + 1} of include")
        assert (rule is not None and not rule.negated) == bool(decision.include)


@settings(max_examples=500)
@given(lines=lines_of_patterns, candidates=st.lists(paths, min_size=1, max_size=20))
def test_same_line_decides_as_in_pathspec(lines: list[str], candidates: list[str]) -> None:
    compare(lines, candidates)


@settings(max_examples=200)
@given(line=st.text(max_size=12), path=st.text(st.characters(exclude_characters="/\n\0"), min_size=1))
def test_any_text_as_line_and_name(line: str, path: str) -> None:
    if path not in (".", ".."):
        compare([line], [path, f"a/{path}", f"{path}/a"] if line else [])


@settings(max_examples=500)
@given(line=st.lists(st.sampled_from([*"ab*.-_é/", "**", "#"]), min_size=1, max_size=6).map("".join))
def test_plain_names_have_the_expressions_of_pathspec(line: str) -> None:
    if judge([line]) is None:
        return
    expression, included = patterns._expression(line)
    assert (expression.pattern if expression else None, included) == GitIgnoreSpecPattern.pattern_to_regex(line)


@settings(max_examples=100)
@given(
    include=lines_of_patterns,
    exclude=lines_of_patterns,
    ignored=st.dictionaries(st.sampled_from(["", "a", "a/b"]), lines_of_patterns),
    candidates=st.lists(paths, min_size=1, max_size=20),
)
def test_filter_is_bentomls_four_tests(
    include: list[str], exclude: list[str], ignored: dict[str, list[str]], candidates: list[str]
) -> None:
    lists = [spec for spec in map(judge, (include, exclude, *ignored.values())) if spec is not None]
    if len(lists) < 2 + len(ignored):
        return
    chosen = SourceFilter(
        Patterns(include, "include"),
        Patterns(exclude, "exclude"),
        {directory: Patterns(lines, directory) for directory, lines in ignored.items()},
    )
    for path in candidates:
        inside = [
            (directory + "/" if directory else "", spec) for directory, spec in zip(ignored, lists[2:], strict=True)
        ]
        expected = (
            lists[0].match_file(path)
            and not lists[1].match_file(path)
            and not any(spec.match_file(path[len(top) :]) for top, spec in inside if path.startswith(top))
        )
        assert chosen.keeps(path) == expected
        assert (chosen.reason(path) is None) == expected
    unused = {(rule.origin, rule.number) for rule in chosen.idle()}
    for origin, lines in {"include": include, "exclude": exclude, **ignored}.items():
        top = f"{origin}/" if origin in ignored and origin else ""
        below = [path[len(top) :] for path in candidates if path.startswith(top)]
        for rule in Patterns(lines, origin).rules:
            is_used = rule.text == "*" or any(map(rule.expression.search, [*below, *patterns._BUILT_IN_FILES]))
            assert ((origin, rule.number) in unused) != is_used


def test_lines_with_many_stars_are_rejected() -> None:
    for line in ("a*" * 6 + "b", "**/" * 6 + "b", "!a*/*b*/**/*.c*"):
        with pytest.raises(BentoError, match=r"^pattern 2 of exclude: invalid pattern .*: it has more than 5 stars"):
            Patterns(["# " + "*a" * 9, line], "exclude")
    assert Patterns(["**/a*/**/*.b*"], "exclude").rule("x/a1/y/z.b2")


@pytest.mark.parametrize(
    ("line", "remark"),
    [("!", "exclamation"), ("a\\", "backslash"), ("a\\ \n", "backslash"), ("[z-a]", "an invalid character set")],
)
def test_unreadable_line(line: str, remark: str) -> None:
    assert judge([line]) is None
    with pytest.raises(
        BentoError, match=rf"^line 2 of pkg/.bentoignore: .*{remark}.* Correct or remove the pattern\.$"
    ):
        Patterns(["# first\n", line], "pkg/.bentoignore", unit="line")


def test_long_path() -> None:
    chosen = SourceFilter(Patterns(["*"], "include"), Patterns(["**/b/"], "exclude"), {"": Patterns(["c"], "i")})
    assert chosen.keeps("a/" * 2000 + "a")
    assert not chosen.keeps("a/" * 2000 + "b/a")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a.py", None),
        ("a.txt", "no pattern of include matches the file"),
        ("no.py", "pattern 2 of include ('!no.py') excludes the file"),
        ("tests/a.py", "pattern 2 of exclude ('tests/') excludes the file"),
        ("pkg/deep/old.py", "line 3 of pkg/.bentoignore ('old.*') excludes the file"),
        ("venv/a.py", "pattern 3 of the built-in exclusions ('venv/') excludes the file, and built-in exclusions can't"),
    ],
)  # fmt: skip
def test_reason(path: str, reason: str | None) -> None:
    chosen = SourceFilter(
        Patterns(["*.py", "!no.py"], "include"),
        Patterns(["# none", "tests/"], "exclude"),
        {"pkg": Patterns(["# old\n", "\n", "old.*\n"], "pkg/.bentoignore", unit="line")},
    )
    found = chosen.reason(path)
    assert found is None if reason is None else found is not None and found.startswith(reason)
    assert chosen.keeps(path) is (reason is None)
    assert chosen.always_excludes(path) is ("venv" in path)
