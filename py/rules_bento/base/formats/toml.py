"""Reads untrusted TOML 1.1 with tomli, because the standard library's reader lacks TOML 1.1, and is slow."""

from __future__ import annotations

from rules_bento.base.formats import MAX_DEPTH, FormatError, decode_text, schema
from rules_bento.base.typing_lite import Any, Callable


def read_toml(data: bytes | str, origin: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """Parse a TOML document. Error messages begin with `origin`. `parse_float` converts floats.

    Raises FormatError if the TOML is invalid or exceeds limits of `rules_bento.base.formats`.
    """
    import tomli  # not by actions that read no TOML

    text = decode_text(data, origin)
    try:
        tables = tomli.loads(text, parse_float=parse_float)
    except RecursionError:
        raise FormatError("invalid TOML: nested too deeply", place=origin, remedy="Reduce the nesting.") from None
    except tomli.TOMLDecodeError as error:
        raise FormatError(f"invalid TOML: {error.msg}.", place=f"{origin}:{error.lineno}") from None
    except ValueError as error:  # a number that Python doesn't convert
        raise FormatError(f"invalid TOML: {error}.", place=origin) from None
    _check_depth(tables, origin)
    return tables


def read_project(tables: dict[str, Any], origin: str) -> dict[str, Any]:
    """Return a pyproject.toml's `project` table, or {} if it is missing. Raises BentoError for an invalid table."""
    project: dict[str, Any] = tables.get("project", {})
    schema.validate(project, {"name?": str, "requires-python?": str}, f"{origin}: project", "Correct the value.")
    return project


def _check_depth(tables: dict[str, Any], origin: str) -> None:
    """Raise FormatError for too many levels of nesting."""
    level: list[Any] = [tables]
    for _ in range(MAX_DEPTH):
        items = (item for value in level for item in (value.values() if isinstance(value, dict) else value))
        level = [item for item in items if isinstance(item, (dict, list))]
    if level:
        problem = f"the file has more than {MAX_DEPTH} levels of nesting"
        raise FormatError(problem, place=origin, remedy="Reduce the nesting.")
