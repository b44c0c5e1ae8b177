"""Subcommands that import a service with BentoML, and check its metadata and API."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, read_file
from rules_bento.base.subcommand_arguments import JsonObject, JsonPairs, Pairs, Request, Strings, Triples
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.packages.requirement_syntax import parse_version
from rules_bento.bentos.service.metadata import to_json
from rules_bento.bentos.service.sdk_names import IMPORT_LINE

if TYPE_CHECKING:
    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.service.import_twice import ImportedMetadata, Subject
    from rules_bento.bentos.service.metadata import ServiceInfo


FIRST_BENTOML, _FIRST_WITH_ARGUMENTS = "1.3.6", "1.4.8"
_PERMISSION = "build with --@rules_bento//rules:allow_unprotected_import, for example in .bazelrc"
_NO_PKG_RESOURCES = 82  # the first version of setuptools without it, which the package fs needs


class _ImportServiceRequest(Request):
    api: Pairs  # output, openapi.yaml and schema.json, if the imported services are the Bento's services
    bentofile: Pairs  # path, name in messages
    hub: str = "@pypi//"  # start of the labels of packages, for messages
    locked: Strings  # entry of a package in the lock
    model: Triples  # description, archive part, alias
    options: JsonObject | None = None  # JSON in the form of a bentofile: options that name files, and the arguments
    output: Path
    part: Strings  # of the archive: sources, data
    platform: Strings  # of the wheels, `<os>_<machine>`
    root: Strings  # directory of a wheel's modules
    service_info: Path  # of the snapshot
    allow_unprotected: bool = False  # import the service even if the system can't isolate the import
    output_packages: bool = False  # output also the requirements of bentofile and image, which a lock must include
    variable: JsonPairs  # name and value of an environment variable


def import_service(request: _ImportServiceRequest) -> None:  # writes: output that follows links, of the action
    """Import a service with BentoML, and write the service metadata in the same format as the subcommand `snapshot`.

    With `--api`, also writes the OpenAPI document and the schema of the API.
    """
    from base64 import b64encode

    from rules_bento.actions.archives import write_bento
    from rules_bento.base.exit_handling import exit_on_signals
    from rules_bento.base.own_files import own_directory
    from rules_bento.bentos.assembly.named_files import named_files
    from rules_bento.bentos.build_options.bentofile import read_target
    from rules_bento.bentos.packages.interpreter_files import wheel_environment
    from rules_bento.bentos.packages.virtualenv import make_environment
    from rules_bento.bentos.service.import_twice import import_service as run_import

    _require_platform(request)
    roots = [Path(root) for root in dict.fromkeys(request.root)]
    installed = _installed_versions(roots)
    _check_versions(installed, FIRST_BENTOML)
    service_info = json.loads(request.service_info.read_text("utf-8"))
    src_exists = service_info.get("src_exists", False)
    options = read_target(request.options or {}, request.bentofile, src_exists=src_exists)
    if options.args:
        _check_versions(installed, _FIRST_WITH_ARGUMENTS)
    exit_on_signals()
    with own_directory("rules_bento-import-") as scratch:
        directory = scratch / "bento"
        models = [(description, part) for description, part, _ in request.model]
        write_bento(directory, request.part, models, "folder")
        environment = wheel_environment(make_environment(scratch / "environment", roots), roots)
        subject = _subject(request, options, directory, installed, service_info["service"]["service"])
        imported = run_import(subject, environment, scratch / "imports")
        _report_unseen(request, imported, service_info.pop("dropped", ()))
        for openapi, schema in request.api:
            _check_members(service_info["service"], imported.info)
            Path(openapi).write_text(imported.openapi, "utf-8")
            Path(schema).write_text(json.dumps(imported.schema, indent=2), "utf-8")
        project = _project_files(directory / "src", service_info)
        named = named_files(imported.info, options, project)
        if request.output_packages:
            from rules_bento.actions.bento_sources import requested_packages

            service_info["packages"] = requested_packages(
                imported.info, options, project, service_info.get("own_packages", ())
            )
    service_info |= {
        "service": to_json(imported.info),
        "api": {"schema": imported.schema, "openapi": imported.openapi},
        **({"files": {path: b64encode(content).decode() for path, content in named.items()}} if named else {}),
    }
    request.output.write_text(json.dumps(service_info, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _require_platform(request: _ImportServiceRequest) -> None:
    """Raise BentoError if the wheels are for another platform than this machine's."""
    from rules_bento.bentos.packages.virtualenv import OMIT_PLATFORMS, check_platform

    # A test needs the platform of the machine that runs it. A Bento has its own platform.
    remedy = 'Build for the platform of this machine, or set service_metadata = "static".'
    check_platform(request.platform, remedy if request.output_packages else OMIT_PLATFORMS)


def _subject(
    request: _ImportServiceRequest, options: BuildOptions, bento: Path, installed: Mapping[str, str], service: str
) -> Subject:
    """Return what the import of a service needs. The Bento's sources and models are in the directory `bento`."""
    from rules_bento.bentos.packages.bentoml_users import users_in_lock
    from rules_bento.bentos.service.import_twice import Subject

    locked = [json.loads(Path(path).read_text("utf-8")) for path in dict.fromkeys(request.locked)]
    aliases = {choice.alias: choice.tag for choice in options.models or () if choice.alias}
    for path, _, alias in request.model:
        if alias:
            aliases[alias] = json.loads(Path(path).read_text("utf-8"))["tag"]
    return Subject(
        service,
        bento,
        arguments=options.args,
        aliases=aliases,
        variables=request.variable,
        packages=[entry["name"] for entry in locked if entry["name"] not in installed],
        bentoml_users=sorted(users_in_lock(locked)),
        remedy=f'Add import_requirements = ["{request.hub}{{}}"]',
        is_unprotected=request.allow_unprotected,
        permission=_PERMISSION,
    )


def _report_unseen(request: _ImportServiceRequest, imported: ImportedMetadata, dropped: Sequence[str]) -> None:
    """Report files and variables that the service's code looked for. Undeclared files might exist."""
    if not request.api:  # otherwise, the static analysis provides the metadata
        options = "srcs, include, and exclude", "import_env"
        for note in imported.unseen(dropped, lambda name: not name.startswith("../"), *options):
            sys.stderr.write(f"{request.target}: {note}\n")


def _installed_versions(roots: Sequence[Path]) -> dict[str, str]:
    """Return the version of each unpacked wheel by normalized package name. Raises BentoError without bentoml."""
    if not any((root / "bentoml").is_dir() for root in roots):
        problem = "importing the service requires bentoml"
        raise BentoError(problem, place="requirements", remedy="Add bentoml from the package hub.")
    names = (path.stem.partition("-") for root in roots for path in root.glob("*.dist-info"))
    return {re.sub("[_.]", "-", name).lower(): version for name, _, version in names}


def _check_versions(installed: Mapping[str, str], first: str) -> None:
    """Raise BentoError if BentoML is too old, or is incompatible with the installed version of setuptools."""
    place = "requirements"
    version, setuptools = (
        parse_version(installed.get(name, default), f"{place}: {name}")
        for name, default in (("bentoml", first), ("setuptools", "0"))
    )
    if version < parse_version(first, place):
        problem = f"importing the service requires BentoML {first} or later, but the lock contains BentoML {version}"
        remedy = f"Change the requirement to bentoml>={first}, and update the lock."
        raise BentoError(problem, place="requirements", remedy=remedy)
    if "fs" in installed and setuptools.major >= _NO_PKG_RESOURCES:
        raise BentoError(
            f"BentoML {version} can't be imported with setuptools {setuptools}, which doesn't contain pkg_resources",
            place="requirements",
            remedy=f"Add `setuptools<{_NO_PKG_RESOURCES}` to the requirements file, and update the lock.",
        )


def _check_members(analyzed: dict[str, Any], imported: ServiceInfo) -> None:
    """Raise BentoError if static analysis and the import determined different services or dependencies."""
    if analyzed["unknowns"]:
        return
    declared, found = (
        {service["name"]: [one["service"] for one in service["dependencies"]] for service in info["services"]}
        for info in (analyzed, to_json(imported))
    )
    if declared != found:
        raise BentoError(
            f"bento.yaml lists the services {json.dumps(declared)}, but importing the service found "
            f"{json.dumps(found)}",
            remedy=f"Add to the Bento:{IMPORT_LINE}",
        )


def _project_files(source: Path, service_info: dict[str, Any]) -> ProjectFiles:
    """Return the files to which an image can refer: files in `source`, and files that the metadata contains."""
    from base64 import b64decode

    from rules_bento.base.tree_walk import walk

    own: dict[str, Any] = {path: entry.path for path, entry in walk(source, strict=False) if entry.is_file()}
    return ProjectFiles(own | {path: b64decode(content) for path, content in service_info.get("files", {}).items()})


_REMEDY = """\
Write constants in the source, or add to the Bento:
    service_metadata = "import",
"""


class _CheckApiRequest(Request):
    golden: Pairs  # committed schema, path in the source tree
    report: Path  # of `compare_service_metadata`
    schema: Path | None = None  # with `golden`


def check_api(request: _CheckApiRequest) -> int:
    """Print API changes, and differences between an imported service and its Bento. Returns 1 if there are any, or 0.

    With `--update`, updates the committed schema instead.
    """
    if "--update" in request.rest and not request.golden:
        raise BentoError("--update requires golden. Set golden to a JSON file.", place=request.target)
    report = request.report.read_text("utf-8")
    found = False
    for golden, name in request.golden:
        found = _check_golden(request, golden, name)
    if "--update" in request.rest:
        return 0
    sys.stdout.write(f"{report}{_REMEDY}" if report else "the imported service matches its Bento\n")
    return 1 if report or found else 0


def _check_golden(request: _CheckApiRequest, golden: str, name: str) -> bool:
    """Print API changes, or update the committed schema. Returns whether the API changed."""
    from rules_bento.base.archives.atomic import replace_file
    from rules_bento.base.formats.json import read_json
    from rules_bento.bentos.service.api_changes import changes

    assert request.schema
    if "--update" in request.rest:
        root = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
        if not root:
            raise BentoError(
                f"--update writes to the source tree, which requires `bazel run`. {_update_command(request)}"
            )
        replace_file(Path(root, name), request.schema.read_bytes())  # writes: output that follows links, the source
        return False
    try:
        committed = read_json(read_file(golden), name)
    except FormatError as error:
        raise error.at("golden").with_remedy(_update_command(request)) from None
    current = json.loads(request.schema.read_text("utf-8"))
    if not current:
        raise BentoError("legacy services have no API schema", place="api", remedy="Remove golden.")
    try:
        differences = changes(committed, current)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BentoError(f"{name} isn't a BentoML API schema. {_update_command(request)}", place="golden") from None
    for change in differences:
        sys.stderr.write(f"{change}\n")
    if differences:
        sys.stderr.write(f"The API differs from {name}. {_update_command(request)}\n")
    return bool(differences)


def _update_command(request: _CheckApiRequest) -> str:
    return f"To accept the change, run: bazel run {request.target} -- --update"
