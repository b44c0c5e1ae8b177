"""Reads untrusted TOML with tomllib or, for Python 3.10, with the package tomli."""

from __future__ import annotations

import importlib
import re

from rules_bento.base.formats import MAX_DEPTH, FormatError, decode_text, schema
from rules_bento.base.typing_lite import Any, Callable

_LINE = re.compile(r" \(at line (\d+), column \d+\)| \(at end of document\)")


def read_toml(data: bytes | str, origin: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Parse a TOML document. Error messages begin with `origin`. `parse_float` converts floats.

    Raises FormatError if the TOML is invalid or exceeds limits of `rules_bento.base.formats`, or if tomli is missing.
    """
    text = decode_text(data, origin)
    try:
        tables: dict[str, Any] = _toml_module(origin).loads(text, parse_float=parse_float)
    except (ValueError, RecursionError) as error:
        match = _LINE.search(str(error))
        line = f":{match[1]}" if match and match[1] else ""
        reason = _LINE.sub("", str(error)) if not isinstance(error, RecursionError) else "nested too deeply"
        raise FormatError(f"invalid TOML: {reason}.", place=f"{origin}{line}") from None
    _check_depth(tables, origin)
    return tables


def read_project(tables: dict[str, Any], origin: str) -> dict[str, Any]:
    """Return a pyproject.toml's `project` table, or {} if it is missing. Raises BentoError for an invalid table."""
    project: dict[str, Any] = tables.get("project", {})
    schema.validate(project, {"name?": str, "requires-python?": str}, f"{origin}: project", "Correct the value.")
    return project


def _toml_module(origin: str) -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise FormatError(
        f"{origin}: reading TOML requires Python 3.11 or later, or the tomli package. Install tomli, or, in Bazel, set "
        'bento_tools.python(version = "3.11") or a later version.'
    )


def _check_depth(tables: dict[str, Any], origin: str) -> None:
    """Raise FormatError for too many levels of nesting."""
    level: list[Any] = [tables]
    for _ in range(MAX_DEPTH):
        items = (item for value in level for item in (value.values() if isinstance(value, dict) else value))
        level = [item for item in items if isinstance(item, (dict, list))]
    if level:
        raise FormatError(
            f"the file has more than {MAX_DEPTH} levels of nesting", place=origin, remedy="Reduce the nesting."
        )
