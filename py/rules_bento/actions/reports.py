"""Subcommands that write reports, SBOMs, and provenance of Bentos and images."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.subcommand_arguments import Pairs, Request, Strings, Triples, read_text
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Literal, Mapping, Sequence
from rules_bento.bentos.models.model import ModelDescription
from rules_bento.bentos.sources.tree_manifest import TreeManifest

if TYPE_CHECKING:
    from rules_bento.images.sbom import Component
    from rules_bento.images.system_packages import SystemFiles
    from rules_bento.images.wheels.libraries import Libraries


class _ReportRequest(Request):
    archive: Path
    date: str = ""  # creation time
    digest: str  # file
    manifest: str
    model: Pairs  # description, manifest
    output: Path
    page: Path
    part: Path  # the part with the environment
    python_version: str = ""
    service_info: str
    tag: str  # file


def report(request: _ReportRequest) -> None:
    """Write a report about a Bento as JSON and as an HTML page."""
    from rules_bento.base.archives.archive import read_requirements
    from rules_bento.images.reports import bento_report
    from rules_bento.images.reports.html_page import page

    service_info = json.loads(read_text(request.service_info))
    manifest = request.manifest
    document: dict[str, Any] = {
        "target": request.target,
        "tag": read_text(request.tag).strip(),
        "digest": read_text(request.digest).strip(),
        "archive_size": request.archive.stat().st_size,
        "services": bento_report.services(service_info["service"]),
        "models": [
            bento_report.model(ModelDescription.loads(read_text(path)), TreeManifest.from_json(read_text(files), files))
            for path, files in request.model
        ],
        "packages": bento_report.packages(read_requirements(request.part)[0], request.python_version),
        "files": bento_report.files(TreeManifest.from_json(read_text(manifest), manifest)),
    }
    request.output.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    request.page.write_text(page(document, date=request.date), "utf-8")


class _LayerReportRequest(Request):
    bento: str  # directory of the Bento in the image
    elsewhere: Strings  # description of a layer that isn't fetched
    date: str = ""  # creation time
    excluded: Strings  # number and size of the files that are excluded from a wheel
    layer: Pairs  # description, blob
    output: Path
    page: Path
    allow_record_mismatch: Strings  # name of a package whose wheel is accepted with a wrong RECORD


def layer_report(request: _LayerReportRequest) -> None:
    """Write a report about the layers of an image as JSON and as an HTML page."""
    from rules_bento.base.formats.oci import Layer
    from rules_bento.images.reports.html_page import page
    from rules_bento.images.reports.layer_contents import LayerReader

    described: list[tuple[str, Path | None]] = [(path, None) for path in request.elsewhere]
    described += [(description, Path(blob)) for description, blob in request.layer]
    reader = LayerReader(request.bento)
    for path, blob in described:
        if (layer := Layer.loads(read_text(path))).size:
            reader.add(layer, blob)
    report: dict[str, Any] = {"target": request.target, **reader.report()}
    if wrong := request.allow_record_mismatch:
        report["record_mismatches"] = sorted(wrong)
    excluded = [json.loads(read_text(path)) for path in request.excluded]
    if omitted := sorted((one for one in excluded if one["files"]), key=lambda one: (-one["size"], one["name"])):
        report["excluded"] = omitted
    request.output.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", "utf-8")
    request.page.write_text(page(report, date=request.date), "utf-8")


class _SummaryRequest(Request):
    archive: str = ""
    digest: str  # file
    image_manifest: str = ""  # of an image; the digest is the image's digest then
    manifest: str = ""  # of a Bento
    model: Strings  # description
    output: Path
    tag: str  # file


def summary(request: _SummaryRequest) -> None:
    """Write the sizes (in bytes), digest, and tag of a Bento or an image as JSON for dashboards."""
    manifest = request.image_manifest
    figures = _image_figures(json.loads(read_text(manifest))) if manifest else _bento_figures(request)
    named = {"tag": read_text(request.tag).strip(), "digest": read_text(request.digest).strip()}
    request.output.write_text(json.dumps(named | figures, indent=1) + "\n", "utf-8")


def _bento_figures(request: _SummaryRequest) -> dict[str, Any]:
    files = json.loads(read_text(request.manifest))
    models = [ModelDescription.loads(read_text(path)) for path in request.model]
    return {
        "archive_size": Path(request.archive).stat().st_size,
        "files": len(files),
        "models": [{"size": model.size, "tag": model.tag} for model in models],
        "size": sum(file["size"] for file in files),
    }


def _image_figures(manifest: dict[str, Any]) -> dict[str, Any]:
    layers = [{"digest": layer["digest"], "size": layer["size"]} for layer in manifest["layers"]]
    return {"layers": layers, "size": manifest["config"]["size"] + sum(layer["size"] for layer in layers)}


class _SbomRequest(Request):
    base_config: Strings
    base_system: str = ""  # output of base_contents
    built_wheel: Triples  # name, version, file
    bento_digest: str  # file
    created: str
    digest: str  # file
    excluded: Strings  # number and size of the files that are excluded from a wheel
    format: Literal["cyclonedx", "spdx"]
    index: Strings  # of Debian packages in the base or in a layer
    libraries: Strings  # of a wheel
    model: Strings  # description
    output: Path
    allow_record_mismatch: Strings  # name of a package whose wheel is accepted with a wrong RECORD
    program: bool = False  # the image is of a program, not of a Bento
    tag: str  # file
    wheel: Triples  # name, version, SHA-256


def sbom(request: _SbomRequest) -> None:
    """Write the SBOM of an image in the format that `--format` specifies."""
    from rules_bento.images import sbom as sboms
    from rules_bento.images.system_packages import SystemFiles
    from rules_bento.images.wheels.libraries import Libraries

    tag = Tag.parse(read_text(request.tag).strip(), "tag")
    subject = sboms.ImageSubject(tag.name, tag.version, read_text(request.digest).strip(), request.created)
    system = SystemFiles.loads(read_text(request.base_system)) if request.base_system else None
    comments = dict.fromkeys(request.allow_record_mismatch, sboms.RECORD_MISMATCH)
    for path in request.excluded:
        excluded = json.loads(read_text(path))
        if excluded["files"]:
            comment = sboms.EXCLUDED_FILES.format_map(excluded)
            comments[excluded["name"]] = f"{comments.get(excluded['name'], '')} {comment}".lstrip()
    packages = [Libraries.loads(read_text(path)) for path in request.libraries]
    components = _components(request, comments, packages, system)
    request.output.write_bytes(sboms.make_sbom(subject, components, request.format))


def _components(
    request: _SbomRequest | _BuildDefinitionRequest,
    comments: Mapping[str, str],
    packages: Iterable[Libraries],
    system: SystemFiles | None,
) -> list[Component]:
    """Return what an image or a Bento consists of: the same in its SBOM and in its provenance."""
    from rules_bento.base.archives import sha256_of
    from rules_bento.images import sbom as sboms

    tag, contents = Tag.parse(read_text(request.tag).strip(), "tag"), read_text(request.bento_digest).strip()
    wheels = [*request.wheel, *((name, version, sha256_of(path)) for name, version, path in request.built_wheel)]
    models = [ModelDescription.loads(read_text(path)) for path in request.model]
    own = sboms.sources(tag.name, tag.version, contents, "program" if request.program else "bento")
    components = sboms.image_components(own, wheels, comments, packages, models)
    for path in request.base_config:
        config = read_object(read_file(path), "the base's config")
        components += sboms.base_image(config, system, is_listed=bool(request.index))
        for listed in request.index:
            index = json.loads(read_text(listed))
            components += sboms.debian_packages(index["packages"], config["architecture"])
            components += sboms.interpreter_components(index.get("components", ()))
    return components


class _BuildDefinitionRequest(Request):
    base_config: Strings
    bento_digest: str  # file
    built_wheel: Triples  # name, version, file
    exclude: Pairs  # name of a wheel, pattern of its files that the image excludes; both are JSON strings
    index: Strings  # of Debian packages in the base or in a layer
    kind: str  # bento or image
    layer: Strings  # description of a layer that the image includes unchanged
    locked: Strings  # the requirements of a Bento, also with hashes
    model: Strings  # description
    output: Path
    platform: str = ""
    program: bool = False  # the image is of a program, not of a Bento
    python_version: str = ""
    tag: str  # file
    wheel: Triples  # name, version, SHA-256


def build_definition(request: _BuildDefinitionRequest) -> None:
    """Write the `buildDefinition` of SLSA provenance as JSON. This document doesn't depend on the builder."""
    from rules_bento.images.signing.provenance import definition, dependency

    tag, subject = read_text(request.tag).strip(), "program" if request.program else "bento"
    excluded: dict[str, list[str]] = {}
    for name, pattern in request.exclude:
        excluded.setdefault(json.loads(name), []).append(json.loads(pattern))
    parameters: dict[str, Any] = {
        "target": request.target,
        subject: tag,
        "platform": request.platform,
        "pythonVersion": request.python_version,
        # "stated": without a lock, only the Bento's own requirements specify the packages.
        "packages": "locked" if request.locked or request.wheel else "stated",
        "exclude": excluded,
    }
    document = definition(
        request.kind,
        {name: value for name, value in parameters.items() if value},
        [dependency(*each) for each in _dependencies(request)],
    )
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    request.output.write_text(f"{text}\n", "utf-8")


def _dependencies(request: _BuildDefinitionRequest) -> Iterator[tuple[str, str]]:
    """Yield the URI and the digest of each dependency. The digest is empty if it isn't known."""
    yield from ((each.reference, each.digest) for each in _components(request, {}, (), None))
    for path in request.locked:
        yield from _locked_files(json.loads(read_text(path))["pins"])
    for path in request.layer:
        digest = json.loads(read_text(path))["digest"]
        yield f"layer:{digest}", digest


def _locked_files(pins: Iterable[tuple[str, Sequence[str]]]) -> Iterator[tuple[str, str]]:
    """Yield a dependency for each hash of a lock subset."""
    from rules_bento.bentos.packages.requirement_syntax import normalize_name
    from rules_bento.images.sbom import python_package

    for pin, hashes in pins:
        if pin.startswith("./"):  # a wheel in the Bento
            name, version = pin.rpartition("/")[2].split("-")[:2]
            address = python_package(normalize_name(name), version, "").reference
        else:
            name, _, version = pin.partition("==")
            address = pin.partition(" @ ")[2] or python_package(name, version, "").reference
        for sha256 in hashes:
            yield address, f"sha256:{sha256}"
