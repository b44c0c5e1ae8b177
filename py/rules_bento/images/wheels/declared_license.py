"""Reads the license that a wheel declares in METADATA: License-Expression, else License, else classifiers."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import Mapping, Sequence

_CLASSIFIER = "License ::"
_EMPTY = frozenset({"", "unknown", "none", "license", "license.txt", "see license"})
_MAX_TEXT = 100  # characters of a license name; longer ones, such as complete license texts, are truncated
_MAX_EXPRESSION = 2_000
_MAX_GROUPS = 100

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


class DeclaredLicense(NamedTuple):
    """The license fields of METADATA."""

    expression: str = ""  # License-Expression
    text: str = ""  # the beginning of License: a name, or a license text
    classifiers: tuple[str, ...] = ()  # the last parts of those that begin with `License ::`

    @staticmethod
    def read(fields: Mapping[str, Sequence[str]]) -> DeclaredLicense:
        """Select the fields, whose names are in lower case."""
        classifiers = (text for text in fields.get("classifier", ()) if text.startswith(_CLASSIFIER))
        names = (text.rpartition("::")[2].strip() for text in classifiers)
        text = " ".join("".join(fields.get("license", ())[:1]).split())[:_MAX_TEXT]
        return DeclaredLicense(
            "".join(fields.get("license-expression", ())[:1])[:_MAX_EXPRESSION],
            "" if text.lower() in _EMPTY else text,
            tuple(name for name in names if name != "OSI Approved"),
        )

    @property
    def name(self) -> str:
        """The license as an SPDX expression, or as the names that METADATA has, or an empty string.

        >>> DeclaredLicense(text="BSD", classifiers=("BSD License",)).name
        'BSD License'
        """
        if self.expression or spdx_expression(self.text) or not self.classifiers:
            return self.expression or self.text
        # Several classifiers can mean a choice, or parts with different licenses.
        [first, *others] = dict.fromkeys(self.classifiers)
        return ", ".join((first, *others)) if others else _CLASSIFIERS.get(first, first)


def spdx_expression(text: str) -> str:
    """Return a license as a canonical SPDX expression, or "" if it contains names that aren't on the SPDX list."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if len(text) > _MAX_EXPRESSION or text.count("(") > _MAX_GROUPS:
        return ""
    try:
        expression: str = canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return ""
    return "" if "LicenseRef-" in expression else expression
