"""Makes an entry of the model store, or takes one as it is: its description and manifest, or its part of an archive."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

from rules_bento.archives.archive import write_part
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.models import model_store
from rules_bento.models.model import make_entry
from rules_bento.models.model_store import StoredModel
from rules_bento.sources import snapshot
from rules_bento.tag import Tag
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments

FLAGS = {
    "--api-version": 1,
    "--archive": 2,  # of an entry: path to read, name in messages
    "--context": 2,
    "--creation-time": 1,
    "--description": 1,
    "--fields": 2,  # JSON with metadata, options or signatures: path to read, name in messages
    "--framework-version": 2,
    "--label": 2,
    "--manifest": 1,
    "--metadata": 2,
    "--model-yaml": 1,  # to write
    "--module": 1,
    "--option": 2,
    "--package": 1,
    "--part": 1,
    "--scratch": 1,  # a folder for the files of the archive, gone at the end
    "--signature": 2,  # method, and a JSON list of words: `batchable`, `batch_dim=0,0`
    "--source": 3,  # path to read, Bazel short path, label
    "--strip-prefix": 1,
    "--tag": 1,  # of a new entry; else the sources or the archive are one
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write what is asked for: the archive part, or what is known of the model without its bytes."""
    with read_model(arguments) as model:
        for path in arguments.repeated("--part"):
            write_part(Path(path), model.members())
        for path in arguments.repeated("--description"):
            Path(path).write_text(model.entry.description.dumps(), "utf-8")
        for path in arguments.repeated("--manifest"):
            Path(path).write_text(model.entry.manifest.to_json(), "utf-8")
        for path in arguments.repeated("--model-yaml"):
            Path(path).write_bytes(model.entry.model_yaml)


@contextmanager
def read_model(arguments: Arguments) -> Iterator[StoredModel]:
    """Read the entry that the arguments describe; its files are there until the block ends.

    Raises BentoError for a file that cannot be in a model.
    """
    if arguments.repeated("--tag"):
        yield _made(arguments)
        return
    for path, name in arguments.tuples("--archive"):
        from rules_bento.models.model_archive import unpack_model

        scratch = Path(arguments.required("--scratch"))
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield model_store.from_files(unpack_model(Path(path), name, scratch), name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return
    yield model_store.from_files(sources(arguments), "srcs")


def _made(arguments: Arguments) -> StoredModel:
    tag = Tag.parse(arguments.required("--tag"), "tag")
    selection = snapshot.select([_unfiltered(file) for file in sources(arguments)])
    for file in selection.dropped:
        raise BentoError(
            f"{file.path} (from {file.origin}) cannot be in a model: {selection.reason(file)}. Leave it out."
        )
    snapshot.check_followed(selection.kept)
    entry = make_entry(tag, _fields(arguments), arguments.required("--creation-time"), snapshot.digest(selection.kept))
    for _, name in arguments.tuples("--fields"):
        from rules_bento.store import descriptors
        from rules_bento.store.home import MODEL

        descriptors.parse(MODEL, entry.model_yaml, f"{name}: model.yaml with its fields")
    return StoredModel(entry, {file.path: file.source for file in selection.kept})


def sources(arguments: Arguments, flag: str = "--source") -> list[snapshot.DeclaredFile]:
    """Return the files of a flag, at their places in the model."""
    folder = "/".join(
        part for part in (arguments.required("--package"), arguments.required("--strip-prefix").strip("/")) if part
    )
    return [
        snapshot.DeclaredFile(
            snapshot.place(short_path, build_ctx=folder, attribute="srcs", label=label).path, source, f"srcs {label}"
        )
        for source, short_path, label in arguments.tuples(flag)
    ]


def _unfiltered(file: snapshot.DeclaredFile) -> snapshot.DeclaredFile:
    """Return the file as one that patterns do not apply to: `.bentoignore` is read for Bentos only."""
    return snapshot.DeclaredFile(file.path, file.source, file.origin, filtered=False)


def _fields(arguments: Arguments) -> dict[str, Any]:
    module = arguments.required("--module")
    context: dict[str, Any] = {
        "framework_name": module.rpartition(".")[2],
        "framework_versions": arguments.pairs("--framework-version"),
    }
    stated = _given(arguments)
    return {
        "module": module,
        "labels": arguments.labels(),
        "options": stated["options"],
        "metadata": stated["metadata"],
        "context": context | arguments.pairs("--context"),
        "signatures": stated["signatures"],
        "api_version": arguments.required("--api-version"),
    }


def _given(arguments: Arguments) -> dict[str, dict[str, Any]]:
    """Return metadata, options and signatures: those of attributes and of `fields_file`, which may share no name."""
    stated: dict[str, dict[str, Any]] = {
        "metadata": dict(arguments.pairs("--metadata")),
        "options": dict(arguments.pairs("--option")),
        "signatures": {
            method: _signature(method, json.loads(words)) for method, words in arguments.pairs("--signature").items()
        },
    }
    for path, name in arguments.tuples("--fields"):
        for field, values in _fields_of_file(path, name, tuple(stated)).items():
            for key in values:
                if key in stated[field]:
                    raise BentoError(f"{name}: {field} has {key!r}, and so has the attribute {field}. Keep one.")
            stated[field] |= values
    return stated


def _fields_of_file(path: str, name: str, known: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    fields = read_object(read_file(path), name)
    for field, values in fields.items():
        if field not in known:
            raise BentoError(f"{name}: {field!r} is not known. Known are {', '.join(known)}; others are attributes.")
        if not isinstance(values, dict):
            raise BentoError(f"{name}: {field} is no JSON object, which begins with '{{'. Correct it.")
    return fields


def _signature(method: str, words: list[str]) -> dict[str, Any]:
    """Return what BentoML's ModelSignature has for a method."""
    dimensions = [0, 0]
    for word in words:
        match = re.fullmatch(r"batch_dim=(\d{1,3})(?:,(\d{1,3}))?", word, re.ASCII)
        if match and "batchable" in words:
            dimensions = [int(match[1]), int(match[2] or match[1])]
        elif word != "batchable":
            raise BentoError(
                f"signatures: {method} has {word!r}, but there are 'batchable' and, beside it, 'batch_dim=0,1' for the "
                f"dimensions of input and output. Correct it, or write it into fields_file."
            )
    return {"batchable": True, "batch_dim": dimensions} if "batchable" in words else {"batchable": False}
