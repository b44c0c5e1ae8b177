"""Reads which licences the metadata of a package states, and checks them against a policy.

What a package states becomes terms joined by AND and OR: SPDX identifiers, with an exception maybe, and the names of
what has none (a classifier as it stands, a text behind `text:`). Nothing is guessed: a classifier that may mean several
licences (`License :: OSI Approved :: BSD License`) is taken where all of them would be, or where a policy names it.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Terms: TypeAlias = "str | tuple[str, tuple[Terms, ...]]"
"""A term, or `AND` or `OR` and what it joins."""

TEXT = "text:"
"""Begins the name of a licence that is a text of METADATA's field License."""

_CLASSIFIER = "License :: "
_OSI = f"{_CLASSIFIER}OSI Approved :: "
_EMPTY = frozenset({"", "unknown", "none", "license", "license.txt", "see license", "license :: osi approved"})
_LONGEST_TEXT = 100  # characters of a text that is a name; a licence that stands there in full is cut
_LONGEST_EXPRESSION = 2_000

# Classifiers of one licence, as PEP 639 has them.
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
# Classifiers of several licences, and which these are.
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
# Texts of the field License that mean one licence, in small letters, without commas and `the`.
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
# Identifiers of GNU's licences from before SPDX 3.0.
_OLD = re.compile(r"((?:A|L)?GPL|GFDL)-(\d\.\d)(\+?)", re.IGNORECASE)
_TOKEN = re.compile(r"[()]|[^\s()]+")


class Stated(NamedTuple):
    """Holds what METADATA states about licences, unchanged."""

    expression: str = ""  # License-Expression
    text: str = ""  # License
    classifiers: tuple[str, ...] = ()  # those that begin with `License ::`


def terms_of(stated: Stated) -> Terms | None:
    """Return what a package states; None where it states nothing."""
    if stated.expression:
        return parsed(stated.expression) or _named(stated.expression)
    text = " ".join(stated.text.split())
    key = " ".join(word for word in text.lower().replace(",", " ").split() if word != "the")
    of_text = parsed(_TEXTS.get(key, text))
    classified = [entry for entry in stated.classifiers if entry.lower() not in _EMPTY]
    terms: list[Terms] = [_of_classifier(entry) for entry in classified]
    if of_text:
        known = _leaves(of_text)
        terms = [of_text, *(one for one, name in zip(terms, classified, strict=True) if not _explained(name, known))]
    elif not terms:
        return _named(text) if key not in _EMPTY else None
    return _joined("AND", terms)


def parsed(expression: str) -> Terms | None:
    """Return the terms of an SPDX expression; None for a text that is none."""
    text = _canonical(expression)
    if not text:
        return None
    terms, rest = _any(_TOKEN.findall(text))
    return terms if not rest else None


def shown(terms: Terms | None) -> str:
    """Return the text of terms, as SPDX writes them where it knows them."""
    if terms is None:
        return "unknown"
    if isinstance(terms, str):
        return terms
    inner = (f"({shown(term)})" if isinstance(term, tuple) else shown(term) for term in terms[1])
    return f" {terms[0]} ".join(inner)


class Taken(NamedTuple):
    """Decides which licences a policy accepts.

    Entries may have `*`; one for a licence covers it with any exception, too.
    """

    allowed: tuple[str, ...]  # empty: all but the denied
    denied: tuple[str, ...]

    @property
    def judges(self) -> bool:
        """Return whether there is a policy at all."""
        return bool(self.allowed or self.denied)

    def takes(self, terms: Terms | None) -> bool:
        """Return whether a package with these terms may be used: of OR one suffices, of AND all have to be taken."""
        if terms is None:
            return not self.allowed
        if isinstance(terms, tuple):
            return (any if terms[0] == "OR" else all)(self.takes(term) for term in terms[1])
        family = _FAMILIES.get(terms.removeprefix(_OSI)) if terms.startswith(_OSI) else None
        if family and not _listed(terms, self.allowed) and not _listed(terms, self.denied):
            return all(self.takes(term) for term in family)
        if terms in self.allowed:  # by its whole name, whatever is denied by a part or a pattern
            return terms not in self.denied
        names = _names(terms)
        return (not self.allowed or any(_listed(name, self.allowed) for name in names)) and not any(
            _listed(name, self.denied) for name in names
        )


def read_taken(allowed: Sequence[str], denied: Sequence[str]) -> Taken:
    """Return a policy of the entries of two lists. Raises BentoError for one that no licence is ever called."""
    return Taken(
        tuple(_entry(text, "allow_licenses") for text in allowed),
        tuple(_entry(text, "deny_licenses") for text in denied),
    )


def _entry(text: str, place: str) -> str:
    if text.startswith(TEXT) and text != TEXT:
        return _named(text.removeprefix(TEXT))
    if text.startswith(_CLASSIFIER):
        # A classifier that stands for one licence of SPDX is compared as that licence.
        meant = _of_classifier(text)
        return meant if isinstance(meant, str) else text
    if "*" in text:
        from packaging.licenses import _spdx

        if any(fnmatchcase(identifier, text.lower()) for identifier in _spdx.LICENSES):
            return text
    elif isinstance(terms := parsed(text), str):
        return terms
    elif terms:
        raise BentoError(f"{place}: {text!r} is an expression. Give each licence by itself: the lists know OR and AND.")
    raise BentoError(
        f"{place}: {text!r} is no identifier of SPDX, so no package has it. Write one (GPL-3.0-only), with * for "
        f"several (GPL-*), a classifier as it stands ({_CLASSIFIER}...), or {TEXT!r} and a text of the field License."
    )


def _of_classifier(text: str) -> Terms:
    leaf = text.removeprefix(_OSI) if text.startswith(_OSI) else ""
    return _CLASSIFIERS.get(leaf, text)


def _explained(classifier: str, known: Iterable[str]) -> bool:
    """Return whether a classifier only says less plainly what an identifier says already."""
    family = _FAMILIES.get(classifier.removeprefix(_OSI), ())
    return any(name in family or name == _of_classifier(classifier) for name in known)


def _canonical(expression: str) -> str:
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if not expression or len(expression) > _LONGEST_EXPRESSION or expression.count("(") > _LONGEST_TEXT:
        return ""
    try:
        return canonicalize_license_expression(expression)
    except InvalidLicenseExpression:
        return ""


def _any(tokens: list[str]) -> tuple[Terms, list[str]]:
    """Return what OR joins, and the tokens behind it."""
    return _chain(tokens, "OR", lambda rest: _chain(rest, "AND", _one))


def _chain(tokens: list[str], word: str, inner: _Parser) -> tuple[Terms, list[str]]:
    term, rest = inner(tokens)
    all_found = [term]
    while rest and rest[0] == word:
        term, rest = inner(rest[1:])
        all_found.append(term)
    return _joined(word, all_found), rest


def _one(tokens: list[str]) -> tuple[Terms, list[str]]:
    if tokens[0] == "(":
        terms, rest = _any(tokens[1:])
        return terms, rest[1:]
    name = _OLD.sub(lambda old: f"{old[1]}-{old[2]}-{'or-later' if old[3] else 'only'}", tokens[0], count=1)
    name = name if _OLD.fullmatch(tokens[0]) else tokens[0]
    if tokens[1:2] == ["WITH"]:
        return f"{name} WITH {tokens[2]}", tokens[3:]
    return name, tokens[1:]


def _joined(word: str, terms: list[Terms]) -> Terms:
    return (word, tuple(terms)) if len(terms) > 1 else terms[0]


def _leaves(terms: Terms) -> list[str]:
    return [terms] if isinstance(terms, str) else [leaf for term in terms[1] for leaf in _leaves(term)]


def _names(term: str) -> list[str]:
    """Return under which names lists may have a term: an exception allows more, and `+` the version itself."""
    without = term.partition(" WITH ")[0]
    return [term, *dict.fromkeys(name for name in (without, without.removesuffix("+")) if name != term)]


def _listed(name: str, entries: Sequence[str]) -> bool:
    return any(name == entry or ("*" in entry and fnmatchcase(name.lower(), entry.lower())) for entry in entries)


def _named(text: str) -> str:
    """Return the name of a licence that has none but its text."""
    return TEXT + " ".join(text.split())[:_LONGEST_TEXT]


if TYPE_CHECKING:
    from collections.abc import Callable

    _Parser: TypeAlias = Callable[[list[str]], tuple[Terms, list[str]]]
