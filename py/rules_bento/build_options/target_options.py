"""Reads the options of a target from attributes and an optional bentofile."""

from __future__ import annotations

import re

from rules_bento.build_options import option_reader
from rules_bento.build_options.document import Document
from rules_bento.build_options.options import BuildOptions, merge
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Container, Sequence

if TYPE_CHECKING:
    from rules_bento.sources.patterns import Rule
    from rules_bento.sources.snapshot import Selection

_MAX_REPORTED = 20  # unmatched patterns with a warning of their own
_MAX_LISTED = 5
_LISTS = ("include", "exclude")  # of patterns for this project
_IN_TEMPLATES = re.compile(r"^/?[._]|[*?[$]")


def read(attributes: dict[str, Any], bentofiles: Sequence[tuple[str, ...]], *, src_exists: bool) -> BuildOptions:
    """Return the options of a target, merged with an optional bentofile.

    `attributes` has the format of a bentofile. `bentofiles` is empty, or contains one pair: the path of a bentofile,
    and its name in messages. `src_exists` specifies whether the build context contains a directory `src`. Raises
    BentoError for invalid options.
    """
    options = option_reader.parse(Document("", attributes))
    for path, name in bentofiles:
        from rules_bento.build_options.bentofile import read as read_bentofile

        options = merge(options, read_bentofile(path, name, src_exists=src_exists))
    return options


def find_service(options: BuildOptions, sources: Container[str]) -> str:
    """Return the configured service, or the default `service` if service.py exists. Otherwise, raises BentoError."""
    if options.service is not None:
        return options.service
    if "service.py" not in sources:
        problem = "required, because the sources don't contain the default service.py"
        remedy = "Set service to 'module:Service', or check that include, exclude, and .bentoignore keep service.py."
        raise BentoError(problem, place="service", remedy=remedy)
    return "service"


def unmatched_patterns(selection: Selection, options: BuildOptions, among: str) -> list[str]:
    """Return warnings about patterns that match no file. `among` describes the searched files in messages.

    One warning per list covers the patterns that were meant to exclude files, if no similar pattern matches a file. It
    omits patterns of an ignore file that is probably a template: names of tools, wildcards, and many patterns.
    """
    notes, others = [], dict[str, list[str]]()
    for index, rule in enumerate(selection.idle):
        hint = selection.rules.suggestion(rule) if index < _MAX_REPORTED else ""
        if hint or (selection.rules.is_including(rule) and index < _MAX_REPORTED):
            text = f"{_place(rule, options)}: {rule.text!r} matches no file in {among}."
            notes.append(f"{text} Did you mean {hint!r}?" if hint else text)
        elif rule.origin == "include" or not (rule.negated or _is_in_template(rule)):
            others.setdefault(rule.origin, []).append(repr(rule.text))
    for origin, texts in others.items():
        place, more = options.at(origin), len(texts) - _MAX_LISTED
        if more > 0 and origin not in _LISTS:
            continue
        listed = ", ".join(texts[:_MAX_LISTED]) + (f", or {more} more patterns" if more > 0 else "")
        notes.append(f"{place}: no file in {among} matches {listed}.")
    return notes


def _is_in_template(rule: Rule) -> bool:
    return rule.origin not in _LISTS and bool(_IN_TEMPLATES.search(rule.text))


def _place(rule: Rule, options: BuildOptions) -> str:
    if rule.origin in _LISTS:
        return options.at(f"{rule.origin}[{rule.number - 1}]")
    return f"{rule.origin}:{rule.number}"
