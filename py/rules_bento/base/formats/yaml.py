"""Reads untrusted YAML. Returns the same values as PyYAML's `safe_load`, which BentoML uses.

Scalars are null, booleans, numbers, times, or strings, and `<<` merges mappings. The reader rejects error-prone
features that BentoML never writes: tags of other types, duplicate keys, base-60 numbers (`1:30`), and recursive values.
"""

from __future__ import annotations

from rules_bento.base.formats import FormatError, decode_text
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from rules_bento.base.formats.yaml_loader import Lines


def read_yaml(data: bytes | str, origin: str, *, binary: bool = False) -> Any:
    """Parse a YAML document. Returns None for an empty document. Error messages begin with `origin`.

    If `binary` is true, converts `!!binary` scalars to bytes. Raises FormatError for invalid YAML, an unsupported
    feature, or input that exceeds the limits of `rules_bento.base.formats`.
    """
    return _load(data, origin, ("binary",) if binary else ())[0]


def read_mapping(data: bytes | str, origin: str) -> dict[Any, Any]:
    """Parse a YAML mapping. Raises FormatError if the YAML is invalid, exceeds the limits, or isn't a mapping."""
    value = read_yaml(data, origin)
    if not isinstance(value, dict):
        raise FormatError("expected a mapping", place=origin, remedy="Write `key: value` lines.")
    return value


def read_with_lines(data: bytes | str, origin: str, parse_float: Callable[[str], Any]) -> tuple[Any, LineIndex]:
    """Parse a YAML document. Returns the value, and the line numbers of all contained values.

    Keys are strings as written, such as a `NumericKey` for `1`. `parse_float` converts decimal fractions. Raises
    FormatError for invalid YAML, an unsupported feature, input that exceeds the limits, or another key without quotes
    that isn't a string, such as `on`.
    """
    value, lines = _load(data, origin, (), parse_float)
    return value, LineIndex(lines)


class LineIndex:
    """Maps the path of each value in a document to a line. A path contains the keys and indices from the root."""

    def __init__(self, root: Lines) -> None:
        """Create an index from the line of the root, and the lines of the values in the root."""
        self._root = root

    def get(self, path: tuple[str | int, ...]) -> int | None:
        """Return the line of the key, item, or root at `path`, or None if `path` doesn't exist."""
        line, inner = self._root
        for part in path:
            if part not in inner:
                return None
            line, inner = inner[part]
        return line


def _load(
    data: bytes | str, origin: str, tags: tuple[str, ...], parse_float: Callable[[str], Any] | None = None
) -> tuple[Any, Lines]:
    """Return the value of a document, and its lines. Raises FormatError for invalid YAML or an unsupported feature."""
    import yaml

    from rules_bento.base.formats.yaml_loader import Loader

    text = decode_text(data, origin)
    try:
        loader = Loader(text, origin, tags, parse_float)
        try:
            root = loader.get_single_node()
            if root is None:
                return None, (1, {})
            value, inner = loader.value(root)
            return value, (root.start_mark.line + 1, inner)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last = text.count("\n")  # libyaml counts the end as another line
        line = f":{min(mark.line, last) + 1}" if mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise FormatError(f"invalid YAML: {problem}.", place=f"{origin}{line}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise FormatError(f"invalid YAML: {' '.join(str(error).split())}.", place=origin) from None
