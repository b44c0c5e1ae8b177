"""Recognizes files of other tools that users confuse with requirements files."""

from __future__ import annotations

import re
from contextlib import contextmanager

from rules_bento.errors import BentoError
from rules_bento.typing_lite import Iterator

_FREEZE = "Run `pip list --format=freeze > requirements.txt` in the environment"
_COMPILE = "Run `uv pip compile pyproject.toml --output-file requirements.txt`"
_EXPORT = "Run `uv export --no-emit-workspace --output-file requirements.txt`"
_PIPENV = "Run `pipenv requirements --hash > requirements.txt`"
# Patterns of a complete text, descriptions, and remedies. The first pattern that matches counts.
_FORMATS = (
    (r"^created-by = ", "a pylock.toml", "Name the file pylock.toml, and use it as the lock of bento.pypi."),
    (r"^lock-version = ", "a lock of Poetry", "Run `poetry export --output requirements.txt`"),
    (r"^lock_version = ", "a lock of PDM", "Run `pdm export --output requirements.txt`"),
    (r"^\[\[package\]\]", "a lock of uv", _EXPORT),
    (r'"_meta":\s*\{', "a lock of Pipenv", _PIPENV),
    (r"^\[(dev-)?packages\]", "a Pipfile", _PIPENV),
    (r"^\[(project|build-system|tool)\b", "a pyproject.toml", _COMPILE),
    (r"^(channels|dependencies):", "an environment of conda", "Set conda.environment_yml to the file."),
    (r"^(@EXPLICIT|# packages in environment at )", "a list of conda", _FREEZE),
    (r"^[\w.-]+=[^\s=<>]+=\w+$", "a list of `conda list --export`", _FREEZE),
    (r'^(Package\s+Version\b|\[\{"name":)', "a list of `pip list`", _FREEZE),
)


@contextmanager
def named_format(text: str, origin: str) -> Iterator[None]:
    """Replace a BentoError with an error that names the format of `text`, if it isn't a requirements file."""
    try:
        yield
    except BentoError:
        for pattern, description, remedy in _FORMATS:
            if re.search(pattern, text, re.MULTILINE):
                problem = f"the file is {description}, not a requirements file"
                end = "" if remedy.endswith(".") else ", and use the result."
                raise BentoError(problem, place=origin, remedy=remedy + end) from None
        raise
