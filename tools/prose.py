#!/usr/bin/env python3
"""Checks messages, help, docstrings, and documents for words and forms that the style guide replaces.

`python3 tools/prose.py`, in the root of the repository, prints the findings. The exit code is 1 if there are any.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from messages import ERROR, messages

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
SOURCES = ("private", "py", "rules", "toolchains", "tools")

# Pattern -> what to write instead. Words that are right in some sentences are left to reviewers.
INSTEAD = {
    r"\b(?<!there )(is|are) no (?!longer\b|more\b|different\b)\w+": "invalid X, or X isn't a Y",
    r"\bfolders?\b": "directory",
    r"\bbeside\b": "with, next to, in addition to",
    r"\btexts\b|\ba text\b": "string",
    r"\bbehind\b": "after",
    r"\bstands? (twice|beside|in|for)\b|\blies (in|below|beside)\b": "is, is located, is defined",
    r"\bheld (against|to)\b": "compared with, verified against",
    r"\btold of\b|\bis told\b|\bare told\b": "reported, warned about",
    r"\b(says?|tells?|knows?|believes?|wants?|brings?|asks?)\b": "specifies, reports, supports, requires",
    r"\bnobody\b|\bsomebody\b|\bwhoever\b": "the passive, or the actor's name",
    r"\banew\b": "again",
    r"\bof old\b": "older",
    r"\brefused?s?\b|\brefusing\b": "reject, fail with an error",
    r"\blets? be\b": "ignore, allow",
    r"\bleft out\b|\bleave out\b|\bleaves out\b|\bleaving out\b": "omit, exclude",
    r"\bin the making\b": "temporary",
    r"\bwhole or not at all\b": "atomic",
    r"\bgoes on\b|\bgo on\b": "resume, continue",
    r"\bfacts?\b": "service metadata",
    r"\bin full\b": "completely",
    r"\bbyte code\b": "bytecode",
    r"\bbills? of materials\b": "SBOM",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bby itself\b": "automatically, on its own",
    r"\blikewise\b": "also",
    r"\bas ever\b": "as before",
    r"\bfrom nothing\b": "from scratch",
    r"\b(has|have) to be\b|\b(is|are) to be\b": "must be",
    r", too\b": "also",
    r"\bthose of\b|\bthat of\b": "repeat the noun",
    r"\blicen[c]e|\bcolour|\bbehaviour": "US spelling",
    r"\b(?i:lock again)\b|\b(?i:generate) the lock again\b": "update the lock",
    r"\bor else\b": "otherwise",
    r"(^|[.:] )(Of|Where|Who|Whoever) ": "a sentence that begins with its subject",
}
_PATTERNS = [(re.compile(pattern), instead) for pattern, instead in INSTEAD.items()]
# What a word must not be taken from: code, and values.
_CODE = re.compile(r"`[^`]*`|--[a-z-]+|\w*_\w*|\"[^\"]*\"|'[^']*'|\{[^}]*\}|<[^>]*>")

# The verbs that a remedy begins with. A message ends with one, unless its cause is outside of what people control.
_VERBS = (
    "Add Allow Archive Ask Build Change Check Choose Commit Convert Copy Correct Create Declare Delete "
    "Did_you_mean Disable Download Drop Enable Exclude Export Fetch Fix Free Generate Give Import Include "
    "Increase Install Keep List Load Lock Log_in Lower Make Move Name Omit Pass Pin Print Provide Pull Merge Push "
    "Put Quote Raise Reduce Reinstall Remove Rename Replace Record Redirect Report Restart Restore Run Save "
    "Select Send Set Shorten Sign Simplify Specify Split Start State Stop Supply Take Transfer Try Unset Update "
    "Upgrade Use Valid Verify Wait Write Expected"
)
_REMEDY = re.compile(
    r"(^|[.;:] |X |, or |\. For [^.]*, |\. If [^.]*, |\. To [^.]*, |\bdid you mean )`?("
    + _VERBS.replace(" ", "|").replace("_", " ")
    + r")\b",
    re.IGNORECASE,
)
MAX_CHARACTERS = 300


def findings(text: str) -> list[str]:
    """Return the words in `text` that the guide replaces, each with the replacement."""
    plain = _CODE.sub("X", " ".join(text.split()))
    return [
        f"{match[0].strip()!r}: write {instead}"
        for pattern, instead in _PATTERNS
        for match in [pattern.search(plain)]
        if match
    ]


def has_remedy(text: str) -> bool:
    """Return whether a message ends with a remedy (possibly in a value) or with the reason of another program.

    Text without a final period is a part.
    """
    text = text.rstrip()
    if text.endswith(("{}", ": {}.")) or not text.endswith((".", "?", "`")):
        return True
    return bool(_REMEDY.search(" ".join(text.split()).replace("{}", "X")))


def _of_messages(root: Path) -> Iterator[str]:
    for message in messages(root):
        found = findings(message.text)
        if message.kind == ERROR and message.is_for_people:
            found += [f"{len(message.text)} characters"] if len(message.text) > MAX_CHARACTERS else []
            found += [] if has_remedy(message.text) else ["no remedy"]
        yield from (f"{message.path}:{message.line}: {finding}: {message.text}" for finding in found)


def _of_docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            yield from (f"{path}:{getattr(node, 'lineno', 1)}: {finding}" for finding in findings(text))


def _of_document(path: Path) -> Iterator[str]:
    text = re.sub(
        r"^( *)```.*?^\1```$",
        lambda match: "\n" * match[0].count("\n"),
        path.read_text("utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", text):
        plain = re.sub(r"\]\([^)]*\)", "]", paragraph)
        yield from (f"{path}:{line}: {finding}" for finding in findings(plain))
        line += paragraph.count("\n")


def main(root: Path = Path()) -> int:
    """Print the findings. Returns the exit code."""
    found = list(_of_messages(root))
    for directory in SOURCES:
        for path in sorted((root / directory).rglob("*")):
            if path.suffix in (".py", ".bzl"):
                found += _of_docstrings(path)
    for path in [*(root / name for name in DOCUMENTS), *sorted((root / "docs").rglob("*.md"))]:
        found += _of_document(path)
    sys.stdout.write("".join(f"{finding}\n" for finding in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
