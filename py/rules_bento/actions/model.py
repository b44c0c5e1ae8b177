"""Makes an entry of the model store: its description, its manifest, and its part of an archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rules_bento import snapshot
from rules_bento.archive import write_part
from rules_bento.errors import BentoError
from rules_bento.model import MODEL_YAML, ModelEntry, make_entry
from rules_bento.tag import Tag
from rules_bento.tarstream import Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--api-version": 1,
    "--context": 2,
    "--creation-time": 1,
    "--description": 1,
    "--framework-version": 2,
    "--label": 2,
    "--manifest": 1,
    "--metadata": 1,
    "--module": 1,
    "--options": 1,
    "--package": 1,
    "--part": 1,
    "--signatures": 1,
    "--source": 3,  # path to read, Bazel short path, label
    "--strip-prefix": 1,
    "--tag": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write description, manifest and archive part."""
    entry, sources = read_model(arguments)
    write_part(Path(arguments.one("--part")), _members(entry, sources))
    Path(arguments.one("--description")).write_text(entry.description.dumps(), "utf-8")
    Path(arguments.one("--manifest")).write_text(entry.manifest.to_json(), "utf-8")


def read_model(arguments: Arguments) -> tuple[ModelEntry, dict[str, str]]:
    """The entry that the arguments describe, and where to read its files but model.yaml."""
    tag = Tag.parse(arguments.one("--tag"), "tag")
    context = "/".join(
        part for part in (arguments.one("--package"), arguments.one("--strip-prefix").strip("/")) if part
    )
    files = [
        snapshot.Declared(
            snapshot.place(short_path, build_ctx=context, attribute="srcs", label=label).path, source, f"srcs {label}"
        )
        for source, short_path, label in arguments.records("--source")
    ]
    selection = snapshot.select([_unfiltered(file) for file in files])
    for file in selection.dropped:
        raise BentoError(
            f"{file.path} (from {file.origin}) cannot be in a model: {selection.reason(file)}. Leave it out."
        )
    snapshot.check_followed(selection.kept)
    entry = make_entry(tag, _fields(arguments), arguments.one("--creation-time"), snapshot.digest(selection.kept))
    return entry, {file.path: file.source for file in selection.kept}


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
        value = json.loads(arguments.text(flag, "{}"))
    except ValueError as error:
        raise BentoError(f"{attribute}: not JSON: {error}. Write it with json.encode({{...}}).") from None
    if not isinstance(value, dict):
        raise BentoError(f"{attribute}: a JSON object is expected. Write it with json.encode({{...}}).")
    return value


def _members(entry: ModelEntry, sources: dict[str, str]) -> list[Member]:
    root = "models/" + entry.description.tag.replace(":", "/")
    return [
        Member.inline(f"{root}/{file.path}", entry.model_yaml)
        if file.path == MODEL_YAML
        else Member.file(f"{root}/{file.path}", sources[file.path], size=file.size, mode=file.mode)
        for file in entry.manifest.entries
    ]
