"""Makes an entry of the model store, or takes one as it is: its description and manifest, or its part of an archive."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rules_bento.archives.archive import write_part
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError
from rules_bento.formats.json import read_json
from rules_bento.models import model_store
from rules_bento.models.model import make_entry
from rules_bento.models.model_store import StoredModel
from rules_bento.sources import snapshot
from rules_bento.tag import Tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--api-version": 1,
    "--archive": 2,  # of an entry: path to read, name in messages
    "--context": 2,
    "--creation-time": 1,
    "--description": 1,
    "--framework-version": 2,
    "--label": 2,
    "--manifest": 1,
    "--metadata": 1,
    "--model-yaml": 1,  # to write
    "--module": 1,
    "--options": 1,
    "--package": 1,
    "--part": 1,
    "--scratch": 1,  # a folder for the files of the archive, gone at the end
    "--signatures": 1,
    "--source": 3,  # path to read, Bazel short path, label
    "--strip-prefix": 1,
    "--tag": 1,  # of a new entry; else the sources or the archive are one
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write what is asked for: the archive part, or what is known of the model without its bytes."""
    with read_model(arguments) as model:
        for path in arguments.many("--part"):
            write_part(Path(path), model.members())
        for path in arguments.many("--description"):
            Path(path).write_text(model.entry.description.dumps(), "utf-8")
        for path in arguments.many("--manifest"):
            Path(path).write_text(model.entry.manifest.to_json(), "utf-8")
        for path in arguments.many("--model-yaml"):
            Path(path).write_bytes(model.entry.model_yaml)


@contextmanager
def read_model(arguments: Arguments) -> Iterator[StoredModel]:
    """The entry that the arguments describe; its files are there until the block ends."""
    if arguments.many("--tag"):
        yield _made(arguments)
        return
    for path, name in arguments.records("--archive"):
        from rules_bento.models.model_archive import unpacked

        scratch = Path(arguments.one("--scratch"))
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield model_store.of_files(unpacked(Path(path), name, scratch), name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return
    yield model_store.of_files(sources(arguments), "srcs")


def _made(arguments: Arguments) -> StoredModel:
    tag = Tag.parse(arguments.one("--tag"), "tag")
    selection = snapshot.select([_unfiltered(file) for file in sources(arguments)])
    for file in selection.dropped:
        raise BentoError(
            f"{file.path} (from {file.origin}) cannot be in a model: {selection.reason(file)}. Leave it out."
        )
    snapshot.check_followed(selection.kept)
    entry = make_entry(tag, _fields(arguments), arguments.one("--creation-time"), snapshot.digest(selection.kept))
    return StoredModel(entry, {file.path: file.source for file in selection.kept})


def sources(arguments: Arguments, flag: str = "--source") -> list[snapshot.Declared]:
    """The files of a flag, at their places in the model."""
    folder = "/".join(part for part in (arguments.one("--package"), arguments.one("--strip-prefix").strip("/")) if part)
    return [
        snapshot.Declared(
            snapshot.place(short_path, build_ctx=folder, attribute="srcs", label=label).path, source, f"srcs {label}"
        )
        for source, short_path, label in arguments.records(flag)
    ]


def _unfiltered(file: snapshot.Declared) -> snapshot.Declared:
    """A model holds what is declared; `.bentoignore` is a matter of Bentos."""
    return snapshot.Declared(file.path, file.source, file.origin, filtered=False)


def _fields(arguments: Arguments) -> dict[str, Any]:
    module = arguments.one("--module")
    context: dict[str, Any] = {
        "framework_name": module.rpartition(".")[2],
        "framework_versions": arguments.pairs("--framework-version"),
    }
    return {
        "module": module,
        "labels": arguments.labels(),
        "options": _json_object(arguments, "--options"),
        "metadata": _json_object(arguments, "--metadata"),
        "context": context | arguments.pairs("--context"),
        "signatures": _json_object(arguments, "--signatures"),
        "api_version": arguments.one("--api-version"),
    }


def _json_object(arguments: Arguments, flag: str) -> dict[str, Any]:
    attribute = flag.removeprefix("--")
    try:
        value = read_json(arguments.text(flag, "{}"), attribute)
    except FormatError as error:
        raise BentoError(f"{error} Write it with json.encode({{...}}).") from None
    if not isinstance(value, dict):
        raise BentoError(f"{attribute}: a JSON object is expected. Write it with json.encode({{...}}).")
    return value
