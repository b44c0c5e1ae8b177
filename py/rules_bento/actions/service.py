"""The subcommand that imports a service with BentoML."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import JsonObject, JsonPairs, Pairs, Request, Strings, Triples
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.packages.requirement_syntax import parse_version
from rules_bento.bentos.service.metadata import to_json

if TYPE_CHECKING:
    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.service.import_twice import ImportedMetadata, Subject


FIRST_BENTOML, _FIRST_WITH_ARGUMENTS = "1.3.6", "1.4.8"
_PERMISSION = "build with --@rules_bento//rules:allow_unprotected_import, for example in .bazelrc"
_NO_PKG_RESOURCES = 82  # the first version of setuptools without it, which the package fs needs


class _ImportServiceRequest(Request):
    bentofile: Pairs  # path, name in messages
    hub: str = "@pypi//"  # start of the labels of packages, for messages
    locked: Strings  # entry of a package in the lock
    model: Triples  # description, archive part, alias
    openapi: Path  # output
    options: JsonObject | None = None  # JSON in the form of a bentofile: options that name files, and the arguments
    output: Path
    part: Strings  # of the archive: sources, data
    platform: Strings  # of the wheels, `<os>_<machine>`
    root: Strings  # directory of a wheel's modules
    service_info: Path  # of the snapshot
    allow_unprotected: bool = False  # import the service even if the system can't isolate the import
    variable: JsonPairs  # name and value of an environment variable


def import_service(request: _ImportServiceRequest) -> None:
    """Import a service with BentoML, and write its OpenAPI document, and its metadata in the format of `snapshot`."""
    from base64 import b64encode

    from rules_bento.actions.archives import write_bento
    from rules_bento.actions.bento_sources import requested_packages
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
        request.openapi.write_text(imported.openapi, "utf-8")
        project = _project_files(directory / "src", service_info)
        named = named_files(imported.info, options, project)
        own_packages = service_info.get("own_packages", ())
        service_info["packages"] = requested_packages(imported.info, options, project, own_packages)
    service_info |= {
        "service": to_json(imported.info),
        "api": {"schema": imported.schema, "openapi": imported.openapi},
        **({"files": {path: b64encode(content).decode() for path, content in named.items()}} if named else {}),
    }
    request.output.write_text(json.dumps(service_info, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _require_platform(request: _ImportServiceRequest) -> None:
    """Raise BentoError if the wheels are for another platform than this machine's."""
    from rules_bento.bentos.packages.virtualenv import check_platform

    remedy = 'Build for the platform of this machine, or set service_metadata = "static".'
    check_platform(request.platform, remedy)


def _subject(
    request: _ImportServiceRequest, options: BuildOptions, bento: Path, installed: Mapping[str, str], service: str
) -> Subject:
    """Return what the import of a service needs. The Bento's sources and models are in the directory `bento`."""
    from rules_bento.bentos.packages.bentoml_users import users_in_lock
    from rules_bento.bentos.service.import_twice import Subject

    locked = [json.loads(Path(path).read_text("utf-8")) for path in dict.fromkeys(request.locked)]
    modules = {entry["name"]: entry.get("modules") for entry in locked}
    users = users_in_lock(locked)
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
        packages={name: given for name, given in modules.items() if name not in installed},
        bentoml_users=sorted({module for name in users for module in (name.replace("-", "_"), *(modules[name] or ()))}),
        remedy=f'Add import_requirements = ["{request.hub}{{}}"]',
        is_unprotected=request.allow_unprotected,
        permission=_PERMISSION,
    )


def _report_unseen(request: _ImportServiceRequest, imported: ImportedMetadata, dropped: Sequence[str]) -> None:
    """Report files and variables that the service's code looked for. Undeclared files might exist."""
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


def _project_files(source: Path, service_info: dict[str, Any]) -> ProjectFiles:
    """Return the files to which an image can refer: files in `source`, and files that the metadata contains."""
    from base64 import b64decode

    from rules_bento.base.tree_walk import walk

    own: dict[str, Any] = {path: entry.path for path, entry in walk(source, strict=False) if entry.is_file()}
    return ProjectFiles(own | {path: b64decode(content) for path, content in service_info.get("files", {}).items()})
