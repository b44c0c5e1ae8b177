"""Reads the licenses that package metadata declares, and checks the licenses against a policy.

A declared license is parsed into terms joined with AND and OR. A term is an SPDX identifier, optionally with an
exception. A license without an identifier is represented by a classifier or a `text:` string. An ambiguous classifier
(`License :: OSI Approved :: BSD License`) is allowed if all its possible licenses are allowed, or if the policy lists
the classifier.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from rules_bento import private
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Any, Callable, Iterable, Sequence, TypeAlias

Terms: TypeAlias = "str | tuple[str, tuple[Terms, ...]]"  # a term, or `AND` or `OR` and its operands
TEXT = "text:"  # prefix of a license that is a string of METADATA's field License
_CLASSIFIER = "License :: "
_OSI = f"{_CLASSIFIER}OSI Approved :: "
_EMPTY = frozenset({"", "unknown", "none", "license", "license.txt", "see license", "license :: osi approved"})
_MAX_TEXT = 100  # characters of a license name; longer ones, such as complete license texts, are truncated
_MAX_EXPRESSION = 2_000

# Classifiers of one license, as in PEP 639.
_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 1.0 (MPL)": "MPL-1.0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
}
# Ambiguous classifiers and their possible licenses.
_FAMILIES = {
    "BSD License": ("0BSD", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause"),
    "Apache Software License": ("Apache-1.0", "Apache-1.1", "Apache-2.0"),
    "GNU General Public License (GPL)": ("GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"),
    "GNU Library or Lesser General Public License (LGPL)": (
        *("LGPL-2.0-only", "LGPL-2.0-or-later", "LGPL-2.1-only", "LGPL-2.1-or-later"),
        *("LGPL-3.0-only", "LGPL-3.0-or-later"),
    ),
    "GNU Lesser General Public License v2 (LGPLv2)": ("LGPL-2.0-only", "LGPL-2.1-only"),
    "Academic Free License (AFL)": ("AFL-1.1", "AFL-1.2", "AFL-2.0", "AFL-2.1", "AFL-3.0"),
    "Artistic License": ("Artistic-1.0", "Artistic-2.0"),
    "Zope Public License": ("ZPL-1.1", "ZPL-2.0", "ZPL-2.1"),
}
# Strings of the field License, in lower case, without commas and `the`, and their licenses.
_TEXTS = {
    "mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "modified bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd-2-clause license": "BSD-2-Clause",
    "isc license": "ISC",
    "mpl 2.0": "MPL-2.0",
    "mozilla public license 2.0": "MPL-2.0",
}
# GNU license identifiers before SPDX 3.0.
_GNU_IDENTIFIER = re.compile(r"((?:A|L)?GPL|GFDL)-(\d\.\d)(\+?)", re.IGNORECASE)
_TOKEN = re.compile(r"[()]|[^\s()]+")


class DeclaredLicense(NamedTuple):
    """The license fields of METADATA, unchanged."""

    expression: str = ""  # License-Expression
    text: str = ""  # License
    classifiers: tuple[str, ...] = ()  # only those that begin with `License ::`


def terms_from_metadata(declared: DeclaredLicense) -> Terms | None:
    """Return the terms of a declared license, or None if METADATA doesn't declare a license."""
    if declared.expression:
        return parse_expression(declared.expression) or _text_name(declared.expression)
    text = " ".join(declared.text.split())
    key = " ".join(word for word in text.lower().replace(",", " ").split() if word != "the")
    of_text = parse_expression(_TEXTS.get(key, text))
    classified = [entry for entry in declared.classifiers if entry.lower() not in _EMPTY]
    terms: list[Terms] = [_from_classifier(entry) for entry in classified]
    if of_text:
        known = _leaves(of_text)
        terms = [of_text, *(one for one, name in zip(terms, classified, strict=True) if not _is_covered(name, known))]
    elif not terms:
        return _text_name(text) if key not in _EMPTY else None
    return _join("AND", terms)


def parse_expression(expression: str) -> Terms | None:
    """Parse an SPDX expression. Returns its terms, or None if the expression is invalid."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if not expression.strip() or len(expression) > _MAX_EXPRESSION or expression.count("(") > _MAX_TEXT:
        return None
    try:
        terms, rest = _parse_or(_TOKEN.findall(canonicalize_license_expression(expression)))
    except InvalidLicenseExpression:
        return None
    return None if rest else terms


def format_terms(terms: Terms | None) -> str:
    """Return terms as an SPDX expression, or `unknown` if `terms` is None."""
    if terms is None:
        return "unknown"
    if isinstance(terms, str):
        return terms
    inner = (f"({format_terms(term)})" if isinstance(term, tuple) else format_terms(term) for term in terms[1])
    return f" {terms[0]} ".join(inner)


class LicensePolicy(NamedTuple):
    """The allowed and denied licenses. An entry can contain `*`. The entry `X` also covers `X WITH exception`."""

    allowed: tuple[str, ...]  # empty: all except denied ones
    denied: tuple[str, ...]

    @property
    def is_set(self) -> bool:
        """Whether the policy lists allowed or denied licenses."""
        return bool(self.allowed or self.denied)

    def allows(self, terms: Terms | None) -> bool:
        """Return whether the policy allows a license. If `terms` is None, returns whether `allowed` is empty."""
        if terms is None:
            return not self.allowed
        if isinstance(terms, tuple):
            return (any if terms[0] == "OR" else all)(self.allows(term) for term in terms[1])
        family = _FAMILIES.get(terms.removeprefix(_OSI)) if terms.startswith(_OSI) else None
        if family and not _is_listed(terms, self.allowed) and not _is_listed(terms, self.denied):
            return all(self.allows(term) for term in family)
        if terms in self.allowed:  # an exact entry takes precedence over denied parts and patterns
            return terms not in self.denied
        names = _policy_names(terms)
        if any(_is_listed(name, self.denied) for name in names):
            return False
        return not self.allowed or any(_is_listed(name, self.allowed) for name in names)


def read_policy(allowed: Sequence[str], denied: Sequence[str]) -> LicensePolicy:
    """Return the policy with the given lists of licenses. Raises BentoError for an invalid entry."""
    allowed = [_entry(text, "allow_licenses") for text in allowed]
    return LicensePolicy(tuple(allowed), tuple(_entry(text, "deny_licenses") for text in denied))


def _entry(text: str, place: str) -> str:
    if text.startswith(TEXT) and text != TEXT:
        return _text_name(text.removeprefix(TEXT))
    if text.startswith(_CLASSIFIER):
        # A classifier of exactly one SPDX license is compared as that license.
        meant = _from_classifier(text)
        return meant if isinstance(meant, str) else text
    if "*" in text:
        if any(fnmatchcase(identifier, text.lower()) for identifier in private.spdx_identifiers()):
            return text
    elif isinstance(terms := parse_expression(text), str):
        return terms
    elif terms:
        raise BentoError(f"expected one license, got {text!r}", place=place, remedy="List each license separately.")
    raise BentoError(
        f"{text!r} isn't an SPDX identifier",
        place=place,
        remedy=f"Use an identifier (GPL-3.0-only), a pattern (GPL-*), a classifier ({_CLASSIFIER}...), or {TEXT!r} "
        "followed by the value of the License field in METADATA.",
    )


def _from_classifier(text: str) -> Terms:
    leaf = text.removeprefix(_OSI) if text.startswith(_OSI) else ""
    return _CLASSIFIERS.get(leaf, text)


def _is_covered(classifier: str, known: Iterable[str]) -> bool:
    """Return whether a classifier can refer to one of the `known` identifiers."""
    family = _FAMILIES.get(classifier.removeprefix(_OSI), ())
    return any(name in family or name == _from_classifier(classifier) for name in known)


def _parse_or(tokens: list[str]) -> tuple[Terms, list[str]]:
    """Parse the operands of OR. Returns the terms and the remaining tokens."""
    return _parse_chain(tokens, "OR", lambda rest: _parse_chain(rest, "AND", _parse_term))


def _parse_chain(tokens: list[str], word: str, inner: Callable[[list[str]], Any]) -> tuple[Terms, list[str]]:
    term, rest = inner(tokens)
    all_found = [term]
    while rest and rest[0] == word:
        term, rest = inner(rest[1:])
        all_found.append(term)
    return _join(word, all_found), rest


def _parse_term(tokens: list[str]) -> tuple[Terms, list[str]]:
    if tokens[0] == "(":
        terms, rest = _parse_or(tokens[1:])
        return terms, rest[1:]
    name = _GNU_IDENTIFIER.sub(lambda old: f"{old[1]}-{old[2]}-{'or-later' if old[3] else 'only'}", tokens[0], count=1)
    name = name if _GNU_IDENTIFIER.fullmatch(tokens[0]) else tokens[0]
    if tokens[1:2] == ["WITH"]:
        return f"{name} WITH {tokens[2]}", tokens[3:]
    return name, tokens[1:]


def _join(word: str, terms: list[Terms]) -> Terms:
    return (word, tuple(terms)) if len(terms) > 1 else terms[0]


def _leaves(terms: Terms) -> list[str]:
    return [terms] if isinstance(terms, str) else [leaf for term in terms[1] for leaf in _leaves(term)]


def _policy_names(term: str) -> list[str]:
    """Return `term`, `term` without its `WITH` exception, and `term` without the exception and `+`."""
    without = term.partition(" WITH ")[0]
    return [term, *dict.fromkeys(name for name in (without, without.removesuffix("+")) if name != term)]


def _is_listed(name: str, entries: Sequence[str]) -> bool:
    return any(name == entry or ("*" in entry and fnmatchcase(name.lower(), entry.lower())) for entry in entries)


def _text_name(text: str) -> str:
    """Return the term for a license without an SPDX identifier: `text:` and the first 100 characters of `text`."""
    return TEXT + " ".join(text.split())[:_MAX_TEXT]
