"""Imports the service of a Bento, and compares it with the static analysis."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.build_options.options import BuildOptions
    from rules_bento.build_options.project import ProjectFiles
    from rules_bento.service.metadata import ServiceInfo


_MEMBERS = ("service", "name", "members", "dependencies")


@Subcommand(
    {
        "--api": 2,  # where to write openapi.yaml and schema.json, if the service has the members that the Bento states
        "--arg-file": 2,  # path, name in messages
        "--bentofile": 2,  # path, name in messages
        "--hub": 1,  # what labels of packages begin with, for messages
        "--image": 2,  # path of the image's JSON, label in messages
        "--locked": 1,  # what the lock has of a package
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
)
def import_service(arguments: Arguments) -> None:
    """Write the facts, as the snapshot does for a service that it reads, and the packages that they ask for."""
    import tempfile
    from base64 import b64encode

    from rules_bento.bento.named_files import named_files
    from rules_bento.packages.virtualenv import OMIT_PLATFORMS, check_platform, make_environment
    from rules_bento.service.import_runner import Subject
    from rules_bento.service.import_runner import import_service as run_import
    from rules_bento.service.metadata import to_json

    check_platform(
        arguments.repeated("--platform"),
        # A test is for the machine that runs it, a Bento for its own platform.
        'service_metadata = "import" asks for a platform of that machine, or have the service read.'
        if arguments.has("--states-packages")
        else OMIT_PLATFORMS,
    )
    roots = [Path(root) for root in dict.fromkeys(arguments.repeated("--root"))]
    if not any((root / "bentoml").is_dir() for root in roots):
        raise BentoError("requirements: no package needs bentoml, which imports the service. Add the hub's bentoml.")
    facts = json.loads(Path(arguments.required("--service-info")).read_text("utf-8"))
    options = _read_options(arguments, facts)
    with tempfile.TemporaryDirectory(prefix="rules_bento-facts-") as scratch:
        folder = Path(scratch, "bento")
        _unpack_bento(arguments, folder)
        python = make_environment(Path(scratch, "environment"), roots)
        subject = Subject(
            facts["service"]["service"],
            folder,
            arguments=options.args,
            aliases=_model_aliases(arguments, options),
            variables=arguments.pairs("--variable"),
            packages=_missing_packages(arguments.repeated("--locked"), roots),
            remedy=f'Add import_packages = ["{arguments.optional("--hub", "@pypi//")}{{}}"]',
        )
        imported = run_import(subject, python, roots, Path(scratch, "imports"))
        for openapi, schema in arguments.tuples("--api"):
            _check_members(facts["service"], imported.info)
            Path(openapi).write_text(imported.openapi, "utf-8")
            Path(schema).write_text(json.dumps(imported.schema, indent=2), "utf-8")
        project = _project_files(folder / "src", facts)
        named = named_files(imported.info, options, project)
        if arguments.has("--states-packages"):
            from rules_bento.actions.snapshot import requested_packages

            facts["stated"] = requested_packages(arguments, imported.info, options, project)
    facts |= {
        "service": to_json(imported.info),
        "api": {"schema": imported.schema, "openapi": imported.openapi},
        **({"files": {path: b64encode(content).decode() for path, content in named.items()}} if named else {}),
    }
    Path(arguments.required("--output")).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _missing_packages(locked: Sequence[str], roots: Sequence[Path]) -> list[str]:
    """Return the packages of the lock that aren't unpacked here."""
    folders = {path.name.partition("-")[0].lower() for root in roots for path in root.glob("*.dist-info")}
    names = dict.fromkeys(json.loads(Path(path).read_text("utf-8"))["name"] for path in locked)
    return [name for name in names if name.replace("-", "_") not in {folder.replace(".", "_") for folder in folders}]


def _check_members(analyzed: dict[str, Any], imported: ServiceInfo) -> None:
    """Refuse other services, or edges between them, than the Bento has: BentoML looks services up by these names."""
    from rules_bento.service.metadata import to_json

    if any(unknown["fact"].partition(".")[0] in _MEMBERS for unknown in analyzed["unknowns"]):
        return
    stated, found = (
        {service["name"]: [one["service"] for one in service["dependencies"]] for service in info["services"]}
        for info in (analyzed, to_json(imported))
    )
    if stated != found:
        raise BentoError(
            f"bento.yaml has the services {json.dumps(stated)}, importing gives {json.dumps(found)}. "
            'Set service_metadata = "import" of the Bento.'
        )


def _read_options(arguments: Arguments, facts: dict[str, Any]) -> BuildOptions:
    from rules_bento.build_options.bentofile import read_arguments
    from rules_bento.build_options.target_options import read

    attributes = json.loads(arguments.optional("--options", "{}"))
    for path, name in arguments.tuples("--arg-file"):
        attributes["args"] = read_arguments(path, name) | attributes.get("args", {})
    return read(attributes, arguments.tuples("--bentofile"), src_exists=facts.get("src_exists", False))


def _unpack_bento(arguments: Arguments, folder: Path) -> None:
    """Write `src` and `models` of the Bento."""
    from rules_bento.actions.archives import write_bento

    models = [(description, part) for description, part, _ in arguments.tuples("--model")]
    write_bento(folder, arguments.repeated("--part"), models, "folder")


def _model_aliases(arguments: Arguments, options: BuildOptions) -> dict[str, str]:
    """Return the aliases of models, each with the tag that BentoML is to look up in its place."""
    tags = {choice.alias: choice.tag for choice in options.models or () if choice.alias}
    for path, _, alias in arguments.tuples("--model"):
        if alias:
            tags[alias] = json.loads(Path(path).read_text("utf-8"))["tag"]
    return tags


def _project_files(source: Path, facts: dict[str, Any]) -> ProjectFiles:
    """Return the files that an image may name: what the Bento has, and what the snapshot found options to name."""
    from base64 import b64decode

    from rules_bento.build_options.project import ProjectFiles

    own: dict[str, Any] = {str(path.relative_to(source)): str(path) for path in source.rglob("*") if path.is_file()}
    return ProjectFiles(own | {path: b64decode(content) for path, content in facts.get("files", {}).items()})


_REMEDY = """\
State them plainly in the source, declare them in attributes of the Bento, or set service_metadata = "import".
"""


@Subcommand({"--report": 1, "--target": 1})
def check_service_metadata(arguments: Arguments) -> int:
    """Print the differences; returns 1 if there are some."""
    report = Path(arguments.required("--report")).read_text("utf-8")
    sys.stdout.write(f"{report}{_REMEDY}" if report else "importing the service gives what its Bento has\n")
    return 1 if report else 0


@Subcommand(
    {
        "--golden": 1,
        "--golden-path": 1,  # in the source tree
        "--schema": 1,
        "--target": 1,
    }
)
def check_api(arguments: Arguments) -> int:
    """Compare; under `bazel run` with `--update` behind `--`, write what is committed instead."""
    from rules_bento.formats import FormatError, read_file
    from rules_bento.formats.json import read_json
    from rules_bento.service.api_changes import changes

    golden, schema = Path(arguments.required("--golden")), Path(arguments.required("--schema"))
    name = arguments.required("--golden-path")
    if "--update" in arguments.rest:
        _update_golden(arguments, schema)
        return 0
    try:
        committed = read_json(read_file(golden), name)
    except FormatError as error:
        raise BentoError(f"golden: {error} {_update_command(arguments)}") from None
    made = json.loads(schema.read_text("utf-8"))
    if not made:
        raise BentoError(
            "api: the service is a legacy one, of which BentoML has no schema to compare. Remove the test."
        )
    try:
        differences = changes(committed, made)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BentoError(f"golden: {name} is no schema of a service's API. {_update_command(arguments)}") from None
    for change in differences:
        sys.stderr.write(f"{change}\n")
    if differences:
        sys.stderr.write(f"The API differs from {name}. {_update_command(arguments)}\n")
    return 1 if differences else 0


def _update_golden(arguments: Arguments, schema: Path) -> None:
    from rules_bento.archives.atomic import replace_file

    root = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if not root:
        raise BentoError(f"it writes into the source tree. {_update_command(arguments)}")
    replace_file(Path(root, arguments.required("--golden-path")), schema.read_bytes())


def _update_command(arguments: Arguments) -> str:
    return f"If that is wanted: bazel run {arguments.required('--target')} -- --update"
