"""Lists differences of a Bento from static analysis and of a Bento from an import of its service."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.bentos.assembly.write_bento import AssembledBento

# Keys that depend on the digest, and keys that static analysis can't determine.
_IGNORED_KEYS = ("creation_time", "schema", "version")
_GENERATED_FILES = ("bento.yaml", "apis/", "src/bentofile.yaml")


def compared(read: dict[str, Any], imported: dict[str, Any], built: AssembledBento, other: AssembledBento) -> list[str]:
    """Return a line for each difference of static analysis and the import: of `ServiceInfo`, and of bento.yaml."""
    from rules_bento.bentos.service.import_twice import place_of

    found = [*_service_differences(read, imported)] or [*_bento_differences(built, other)]
    return [
        f"{place_of(field, read)}: {field} is {first} in the Bento, and {second} by importing the service."
        for field, first, second in found
    ]


def _service_differences(read: dict[str, Any], imported: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield differences in fields that bento.yaml omits: kinds, APIs, and docstrings, which Python 3.13 dedents."""
    from rules_bento.base.comparison_program import differences

    yield from differences(read["kind"], imported["kind"], "kind")
    if len(read["services"]) == len(imported["services"]):
        for index, (one, other) in enumerate(zip(read["services"], imported["services"], strict=True)):
            yield from differences(one["apis"], other["apis"], f"services.{index}.apis")
            docs = ((each["doc"] or "").split() for each in (one, other))
            yield from differences(next(docs), next(docs), f"services.{index}.doc")


def _bento_differences(built: AssembledBento, other: AssembledBento) -> Iterator[tuple[str, str, str]]:
    import yaml
    from rules_bento.base.comparison_program import differences

    documents: list[dict[str, Any]] = [yaml.safe_load(bento.files["bento.yaml"]) for bento in (built, other)]
    ours, theirs = ({key: one for key, one in document.items() if key not in _IGNORED_KEYS} for document in documents)
    yield from differences(ours, theirs)


def changed_lines(built: AssembledBento, other: AssembledBento) -> list[str]:
    """Return a line for each generated file that differs, with the first line that differs."""
    found = []
    files = [{path for path in bento.files if not path.startswith(_GENERATED_FILES)} for bento in (built, other)]
    for path in sorted(files[0] | files[1]):
        texts = (bento.files.get(path, b"").decode(errors="replace").splitlines() for bento in (built, other))
        rows = enumerate(zip_longest(*texts, fillvalue="no line"), 1)
        if row := next((row for row in rows if row[1][0] != row[1][1]), None):
            number, (one, two) = row
            found.append(f"{path}:{number} is {one!r} in the Bento, and {two!r} by importing the service.")
    return found
