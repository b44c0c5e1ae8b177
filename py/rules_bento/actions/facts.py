"""Imports the service of a Bento with real BentoML and its wheels, and writes what it tells, as if it were read."""

from __future__ import annotations

import json
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path

from rules_bento.actions import archive
from rules_bento.actions.snapshot import stated
from rules_bento.bento.named_files import named_files
from rules_bento.hints import Any
from rules_bento.packages.virtualenv import LEAVE_PLATFORMS, check_platform, make_environment
from rules_bento.service.metadata import to_json
from rules_bento.service.import_runner import Subject, import_service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments
    from rules_bento.build_options.options import BuildOptions
    from rules_bento.build_options.project import ProjectFiles

FLAGS = {
    "--arg-file": 2,  # path, name in messages
    "--bentofile": 2,  # path, name in messages
    "--image": 2,  # path of the image's JSON, label in messages
    "--model": 3,  # description, archive part, alias
    "--options": 1,  # JSON in the form of a bentofile: those that name files, and the arguments
    "--output": 1,
    "--part": 1,  # of the archive: sources, data
    "--platform": 1,  # of the wheels, `<os>_<machine>`
    "--root": 1,  # folder of a wheel's modules
    "--service-info": 1,  # of the snapshot
    "--states-packages": 0,  # which bentofile and image ask for, and a lock has to give
    "--target": 1,
    "--variable": 2,  # name, value: of the environment
}


def run(arguments: Arguments) -> None:
    """Write the facts, as the snapshot does for a service that it reads, and the packages that they ask for."""
    check_platform(
        arguments.many("--platform"),
        # A test is for the machine that runs it, a Bento for its own platform.
        'service_metadata = "import" asks for a platform of that machine, or have the service read.'
        if arguments.records("--states-packages")
        else LEAVE_PLATFORMS,
    )
    facts = json.loads(Path(arguments.one("--service-info")).read_text("utf-8"))
    options = _options(arguments, facts)
    with tempfile.TemporaryDirectory(prefix="rules_bento-facts-") as scratch:
        folder = Path(scratch, "bento")
        _unpack(arguments, folder)
        python = make_environment(Path(scratch, "environment"), [Path(root) for root in arguments.many("--root")])
        subject = Subject(
            facts["service"]["service"],
            folder,
            arguments=options.args,
            aliases=_aliases(arguments, options),
            variables=arguments.pairs("--variable"),
        )
        roots = [Path(root) for root in arguments.many("--root")]
        imported = import_service(subject, python, roots, Path(scratch, "imports"))
        project = _project(folder / "src", facts)
        named = named_files(imported.info, options, project)
        if arguments.records("--states-packages"):
            facts["stated"] = stated(arguments, imported.info, options, project)
    facts |= {
        "service": to_json(imported.info),
        "api": {"schema": imported.schema, "openapi": imported.openapi},
        **({"files": {path: b64encode(content).decode() for path, content in named.items()}} if named else {}),
    }
    Path(arguments.one("--output")).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _options(arguments: Arguments, facts: dict[str, Any]) -> BuildOptions:
    from rules_bento.build_options.bentofile import read_arguments
    from rules_bento.build_options.target_options import read

    attributes = json.loads(arguments.optional("--options", "{}"))
    for path, name in arguments.records("--arg-file"):
        attributes["args"] = read_arguments(path, name) | attributes.get("args", {})
    return read(attributes, arguments.records("--bentofile"), src_exists=facts.get("src_exists", False))


def _unpack(arguments: Arguments, folder: Path) -> None:
    """Write `src` and `models` of the Bento."""
    models = [(description, part) for description, part, _ in arguments.records("--model")]
    archive.write(folder, arguments.many("--part"), models, "folder")


def _aliases(arguments: Arguments, options: BuildOptions) -> dict[str, str]:
    """Return the aliases of models, each with the tag that BentoML is to look up in its place."""
    tags = {choice.alias: choice.tag for choice in options.models or () if choice.alias}
    for path, _, alias in arguments.records("--model"):
        if alias:
            tags[alias] = json.loads(Path(path).read_text("utf-8"))["tag"]
    return tags


def _project(source: Path, facts: dict[str, Any]) -> ProjectFiles:
    """Return the files that an image may name: what the Bento has, and what the snapshot found options to name."""
    from rules_bento.build_options.project import ProjectFiles

    own: dict[str, Any] = {str(path.relative_to(source)): str(path) for path in source.rglob("*") if path.is_file()}
    return ProjectFiles(own | {path: b64decode(content) for path, content in facts.get("files", {}).items()})
