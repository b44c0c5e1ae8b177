"""Writes bento.yaml and all that a Bento holds beside sources and models; finds its version."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento import bento, service
from rules_bento.archive import write_part
from rules_bento.errors import BentoError
from rules_bento.manifest import Manifest
from rules_bento.model import ModelDescription
from rules_bento.tarstream import Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--bento-yaml": 1,
    "--bentoml-version": 1,
    "--creation-time": 1,
    "--declared-service": 2,  # name, JSON array of the names that it depends on
    "--description": 1,
    "--description-file": 1,
    "--digest": 1,
    "--env": 1,
    "--label": 2,
    "--locked": 3,  # roots, pinned requirements, these with hashes
    "--manifest": 1,
    "--model": 2,  # description, alias
    "--name": 1,
    "--part": 1,
    "--python-version": 1,
    "--requirement": 1,
    "--requirements-file": 1,
    "--service": 1,
    "--service-info": 1,
    "--sources": 1,
    "--tag": 1,
    "--target": 1,
    "--version": 1,
}


def run(arguments: Arguments) -> None:
    """Write bento.yaml, manifest, digest, tag and the metadata's part of the archive."""
    facts = json.loads(Path(arguments.one("--service-info")).read_text("utf-8"))
    info = service.override(
        service.from_json(facts["service"]),
        services={name: json.loads(names) for name, names in arguments.records("--declared-service")} or None,
        bento_name=arguments.optional("--name") or None,
    )
    service.require_known(info, arguments.one("--target"))
    models = [
        bento.BundledModel(ModelDescription.loads(Path(path).read_text("utf-8")), alias)
        for path, alias in arguments.records("--model")
    ]
    sources_path = arguments.one("--sources")
    sources = Manifest.from_json(Path(sources_path).read_text("utf-8"), sources_path)
    made = bento.make_bento(info, _options(arguments), sources, facts["readme"], models)
    members = [Member.inline(path, made.files[path]) for path in _readers_order(made.files)]
    write_part(Path(arguments.one("--part")), members, threads=1)
    Path(arguments.one("--bento-yaml")).write_bytes(made.files["bento.yaml"])
    Path(arguments.one("--manifest")).write_text(made.manifest.to_json(), "utf-8")
    Path(arguments.one("--digest")).write_text(f"blake3:{made.digest.hex()}\n", "utf-8")
    Path(arguments.one("--tag")).write_text(f"{made.tag}\n", "utf-8")


def _readers_order(files: dict[str, bytes]) -> list[str]:
    """bento.yaml first: who streams an archive learns at once what it is."""
    return sorted(files, key=lambda path: (path != "bento.yaml", path))


def _options(arguments: Arguments) -> bento.Options:
    return bento.Options(
        creation_time=arguments.one("--creation-time"),
        bentoml_version=arguments.one("--bentoml-version"),
        python_version=arguments.one("--python-version"),
        name=arguments.optional("--name"),
        version=arguments.optional("--version"),
        description=_description(arguments),
        labels=_labels(arguments),
        envs=tuple(arguments.many("--env")),
        requirements=_requirements(arguments),
        lock=_lock(arguments),
    )


def _labels(arguments: Arguments) -> dict[str, str]:
    labels = {}
    for key, value in arguments.records("--label"):
        if not key.strip():
            raise BentoError("labels: a label has an empty key. Give it a name.")
        labels[key] = value
    return labels


def _description(arguments: Arguments) -> str | None:
    text, path = arguments.optional("--description"), arguments.optional("--description-file")
    if text and path:
        raise BentoError("description and description_file are both set. Keep one of them.")
    return _read(path, "description_file") if path else text or None


def _requirements(arguments: Arguments) -> str:
    lines = [f"{line}\n" for line in arguments.many("--requirement")]
    for path in arguments.many("--requirements-file"):
        text = _read(path, "requirements")
        lines.append(text if text.endswith("\n") or not text else text + "\n")
    return "".join(lines)


def _lock(arguments: Arguments) -> bento.LockedRequirements | None:
    for paths in arguments.records("--locked"):
        return bento.LockedRequirements(*(Path(path).read_text("utf-8") for path in paths))
    return None


def _read(path: str, attribute: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except UnicodeDecodeError:
        raise BentoError(f"{attribute}: {path} is not UTF-8 text. Save it as UTF-8.") from None
