"""The subcommand that writes the metadata of a Bento, such as bento.yaml."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from pathlib import Path

from rules_bento.actions import secret_scan
from rules_bento.base.archives.archive import join, write_part
from rules_bento.base.subcommand_arguments import JsonObject, Pairs, Paths, Strings, check_labels
from rules_bento.base.typing_lite import TYPE_CHECKING, Any
from rules_bento.bentos.assembly import write_bento
from rules_bento.bentos.assembly.env.common import ApiDescription, BentoSettings
from rules_bento.bentos.build_options import bentofile, option_checks
from rules_bento.bentos.build_options.project import ProjectFiles
from rules_bento.bentos.models.model import BundledModel, ModelDescription
from rules_bento.bentos.packages import requirement_syntax
from rules_bento.bentos.packages.requirement_syntax import Line, LockedRequirements, decode, logical_lines, named_format
from rules_bento.bentos.service.known_metadata import IMPORT_BY_ATTRIBUTE, require_known
from rules_bento.bentos.service.metadata import from_json
from rules_bento.bentos.sources.tree_manifest import TreeManifest

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.installed_packages import InstalledPackage
    from rules_bento.bentos.service.loaded_modules import Survey


class _PackageRequest(secret_scan.SecretsRequest):
    archive: Path | None = None  # the `.bento`, if it contains only sources and metadata
    attributes: JsonObject | None = None  # attributes that no option of a bentofile represents
    bento_yaml: Path
    bentofile: Pairs  # path, name in messages
    bentoml_version: str
    contents: Paths  # a part with sources, for the archive
    creation_time: str
    digest: Path
    imports: Path  # output: modules that packages must provide, for the checks of images
    locked: Path | None = None  # roots, pinned requirements, and the same with hashes
    manifest: Path
    model: Pairs  # description, alias
    options: JsonObject | None = None  # JSON in the form of a bentofile
    part: Path
    pin: Strings  # name==version, or a name, of a package of a rules_python hub that libraries need
    platform: str = ""  # of the Bento, `<os>_<machine>`
    python_version: str
    python_version_of_pins: bool = False  # the version is the one of the packages in `pin`, not a default
    requirements_file: Strings
    service_info: str
    sources: str
    tag: Path
    ignore_library: Strings  # file name of machine code that can be for another platform


def package(request: _PackageRequest) -> None:
    """Write a Bento's bento.yaml, manifest, digest, and tag, and the archive part that contains the metadata.

    With `--archive`, also writes the complete archive.
    """
    bento = make_bento(request, json.loads(Path(request.service_info).read_text("utf-8")))
    for note in bento.notes:
        sys.stderr.write(f"{request.target}: {note}\n")
    in_contents = {entry.path for entry in bento.manifest.entries} - set(bento.files)
    secret_scan.check_contents(request, sorted(bento.files.items()), in_contents)
    write_part(request.part, write_bento.members(bento), threads=1)
    if request.archive:
        join(request.archive, [request.part, *request.contents])
    request.bento_yaml.write_bytes(bento.files["bento.yaml"])
    request.manifest.write_text(bento.manifest.to_json(), "utf-8")
    request.digest.write_text(f"blake3:{bento.digest.hex()}\n", "utf-8")
    request.imports.write_text(json.dumps(bento.imports, indent=1) + "\n", "utf-8")
    request.tag.write_text(f"{bento.tag}\n", "utf-8")


def make_bento(request: _PackageRequest, service_info: dict[str, Any]) -> write_bento.AssembledBento:
    """Assemble a Bento from attributes and the analyzed service. Raises BentoError if metadata is unknown."""
    attributes = request.attributes or {}
    settings = _bento_settings(request, attributes, service_info)
    models = [
        BundledModel(ModelDescription.loads(Path(path).read_text("utf-8")), alias) for path, alias in request.model
    ]
    info = from_json(service_info["service"])
    require_known(info, IMPORT_BY_ATTRIBUTE, request.target)
    sources = TreeManifest.from_json(Path(request.sources).read_text("utf-8"), request.sources)
    _check_architectures(request, sources)
    return write_bento.assemble_bento(info, settings, sources, models)


def _check_architectures(request: _PackageRequest, sources: TreeManifest) -> None:
    """Raise BentoError if sources contain machine code for another platform. Ignores files in `--ignore-library`."""
    files = {f"src/{entry.path}": entry.machine for entry in sources.entries if entry.machine}
    if files or request.ignore_library:
        from rules_bento.bentos.sources.cpu_arch import reject_wrong_architecture

        reject_wrong_architecture(files, request.platform, request.ignore_library)


def _bento_settings(
    request: _PackageRequest, attributes: dict[str, Any], service_info: dict[str, Any]
) -> BentoSettings:
    # The files that the snapshot found for options.
    contents: dict[str, str | bytes] = {
        path: b64decode(content) for path, content in service_info.get("files", {}).items()
    }
    lock = LockedRequirements.loads(request.locked.read_text("utf-8")) if request.locked else None
    return BentoSettings(
        creation_time=request.creation_time,
        bentoml_version=request.bentoml_version,
        python_version=option_checks.short_python_version(request.python_version, "python_version"),
        options=bentofile.read_target(
            _read_options(request, attributes), request.bentofile, src_exists=service_info.get("src_exists", False)
        ),
        files=ProjectFiles(contents),
        version=attributes.get("version", ""),
        readme=None if (readme := service_info["readme"]) is None else b64decode(readme),
        loads=service_info.get("loads", []),
        survey=_read_survey(service_info),
        requires_modules=True,
        requirements=_read_requirements(request),
        own_packages=tuple(service_info.get("own_packages", ())),
        pins=request.pin,
        is_python_of_pins=request.python_version_of_pins,
        lock=lock,
        installed=lambda _pins: _known_packages(lock),
        api=ApiDescription(**service_info["api"]) if "api" in service_info else None,
        spec=attributes.get("spec"),
    )


def _known_packages(lock: LockedRequirements | None) -> dict[str, InstalledPackage]:
    from rules_bento.bentos.assembly.installed_packages import InstalledPackage

    return {name: InstalledPackage(modules) for name, modules in lock.modules.items()} if lock else {}


def _read_options(request: _PackageRequest, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the target's options in the format of a bentofile. Raises BentoError for invalid or conflicting values."""
    data = request.options or {}
    data["labels"] = data.get("labels", {}) | check_labels(dict(attributes.get("labels", ())))
    envs = [vars(option_checks.parse_env(text, "bento_env")) for text in attributes.get("bento_env", ())]
    data["envs"] = [*data.get("envs", ()), *envs]
    return data


def _read_survey(service_info: dict[str, Any]) -> Survey | None:
    if "survey" not in service_info:
        return None
    from rules_bento.bentos.service.loaded_modules import MissingModule, Survey
    from rules_bento.bentos.service.python_syntax import NewSyntax

    syntax, missing = service_info["survey"]
    return Survey(syntax and (syntax[0], NewSyntax(*syntax[1])), [MissingModule(*row) for row in missing])


def _read_requirements(request: _PackageRequest) -> tuple[Line, ...]:
    lines: list[Line] = []
    for path in request.requirements_file:
        text = decode(Path(path).read_bytes(), path)
        with named_format(text, path):
            requirement_syntax.check_lines(declared := list(logical_lines(text, path)))
        lines += declared
    return tuple(lines)
