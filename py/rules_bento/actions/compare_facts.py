"""Puts a Bento together of imported facts, beside the one that was built, and writes in what they differ."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.actions import package
from rules_bento.service.differences import Difference, differences
from rules_bento.service.import_runner import place_of
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments
    from rules_bento.bento.assemble import AssembledBento

FLAGS = package.FLAGS | {"--imported": 1, "--report": 1}

# Of the digest, or of what a service that is read does not tell.
_OTHERWISE = ("creation_time", "schema", "version")
_OWN_FILES = ("bento.yaml", "apis/", "src/bentofile.yaml")


def run(arguments: Arguments) -> None:
    """Write a line for each difference; none if the Bento is what importing gives."""
    read = _load(arguments.required("--service-info"))
    imported = _load(arguments.required("--imported"))
    differences = [*_differences(read["service"], imported["service"])]
    if not differences:
        differences = [*_between(package.make(arguments, read), package.make(arguments, imported))]
    lines = [
        f"{place_of(field, read['service'])}: {field} is {first} in the Bento, and {second} by importing the service.\n"
        for field, first, second in differences
    ]
    Path(arguments.required("--report")).write_text("".join(lines), "utf-8")


def _load(path: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    return data


def _differences(read: dict[str, Any], imported: dict[str, Any]) -> Iterator[Difference]:
    """Yield how the facts read and imported differ in what bento.yaml lacks: kind, APIs and docstrings."""
    unknown = {fact.partition(".")[0] for fact in (unknown["fact"] for unknown in read["unknowns"])}
    yield from differences(read["kind"], imported["kind"], "kind")
    if unknown & {"service", "name", "members", "dependencies"} or len(read["services"]) != len(imported["services"]):
        return
    for index, (one, other) in enumerate(zip(read["services"], imported["services"], strict=True)):
        if "apis" not in unknown:
            yield from differences(one["apis"], other["apis"], f"services.{index}.apis")
        if "doc" not in unknown:
            yield from differences(one["doc"], other["doc"], f"services.{index}.doc")


def _between(built: AssembledBento, other: AssembledBento) -> Iterator[Difference]:
    import yaml

    documents: list[dict[str, Any]] = [yaml.safe_load(bento.files["bento.yaml"]) for bento in (built, other)]
    ours, theirs = ({key: one for key, one in document.items() if key not in _OTHERWISE} for document in documents)
    yield from differences(ours, theirs)
    files = [{path for path in bento.files if not path.startswith(_OWN_FILES)} for bento in (built, other)]
    for path in sorted(files[0] | files[1]):
        if built.files.get(path) != other.files.get(path):
            yield Difference(path, _size(built, path), _size(other, path))


def _size(bento: AssembledBento, path: str) -> str:
    return f"{len(bento.files[path])} bytes" if path in bento.files else "nothing"
