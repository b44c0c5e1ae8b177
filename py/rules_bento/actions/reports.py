"""Subcommands that write reports, SBOMs, and provenance of Bentos and images."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from rules_bento.arguments import Arguments, Subcommand, read_text
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator, cast

if TYPE_CHECKING:
    from rules_bento.images import layer_report as layer_reports


@Subcommand(
    {
        "--archive": 1,
        "--date": 1,  # creation time
        "--digest": 1,  # file
        "--manifest": 1,
        "--model": 2,  # description, manifest
        "--output": 1,
        "--page": 1,
        "--part": 1,  # the part with the environment
        "--service-info": 1,
        "--tag": 1,  # file
    }
)
def report(arguments: Arguments) -> None:
    """Write a report about a Bento as JSON and as an HTML page."""
    from rules_bento.archives.archive import read_requirements
    from rules_bento.models.model import ModelDescription
    from rules_bento.reports import bento_report
    from rules_bento.sources.manifest import TreeManifest

    service_info = json.loads(read_text(arguments.required("--service-info")))
    manifest = arguments.required("--manifest")
    document: dict[str, Any] = {
        "target": arguments.required("--target"),
        "tag": read_text(arguments.required("--tag")).strip(),
        "digest": read_text(arguments.required("--digest")).strip(),
        "archive_size": Path(arguments.required("--archive")).stat().st_size,
        "services": bento_report.services(service_info["service"]),
        "models": [
            bento_report.model(ModelDescription.loads(read_text(path)), TreeManifest.from_json(read_text(files), files))
            for path, files in arguments.tuples("--model")
        ],
        "packages": bento_report.packages(read_requirements(Path(arguments.required("--part")))[0]),
        "files": bento_report.files(TreeManifest.from_json(read_text(manifest), manifest)),
    }
    Path(arguments.required("--output")).write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    page = bento_report.page(document, arguments.optional("--date"))
    Path(arguments.required("--page")).write_text(page, "utf-8")


@Subcommand(
    {
        "--bento": 1,  # directory of the Bento in the image
        "--elsewhere": 1,  # description of a layer that isn't fetched
        "--date": 1,  # creation time
        "--excluded": 1,  # number and size of the files that are excluded from a wheel
        "--layer": 2,  # description, blob
        "--output": 1,
        "--page": 1,
        "--allow-record-mismatch": 1,  # name of a package whose wheel is accepted with a wrong RECORD
    }
)
def layer_report(arguments: Arguments) -> None:
    """Write a report about the layers of an image as JSON and as an HTML page."""
    from rules_bento.images import layer_report as layer_reports
    from rules_bento.images.oci_image import Layer

    target, bento = arguments.required("--target"), arguments.required("--bento")
    described: list[tuple[str, Path | None]] = [(path, None) for path in arguments.repeated("--elsewhere")]
    described += [(description, Path(blob)) for description, blob in arguments.tuples("--layer")]
    owners: dict[str, layer_reports.Owner] = {}
    layers = [
        layer_reports.describe_layer(Layer.loads(read_text(path)), blob, bento, owners) for path, blob in described
    ]
    report: dict[str, Any] = {"target": target, "layers": layers}
    if wrong := arguments.repeated("--allow-record-mismatch"):
        report["record_mismatches"] = sorted(wrong)
    excluded = [json.loads(read_text(path)) for path in arguments.repeated("--excluded")]
    if omitted := sorted((one for one in excluded if one["files"]), key=lambda one: (-one["size"], one["name"])):
        report["excluded"] = omitted
    text = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    Path(arguments.required("--output")).write_text(text, "utf-8")
    Path(arguments.required("--page")).write_text(layer_reports.page(report, arguments.optional("--date")), "utf-8")


@Subcommand(
    {
        "--archive": 1,
        "--digest": 1,  # file
        "--image-manifest": 1,  # of an image; the digest is the image's digest then
        "--manifest": 1,  # of a Bento
        "--model": 1,  # description
        "--output": 1,
        "--tag": 1,  # file
    }
)
def summary(arguments: Arguments) -> None:
    """Write the sizes (in bytes), digest, and tag of a Bento or an image as JSON for dashboards."""
    manifest = arguments.optional("--image-manifest")
    figures = _image_figures(json.loads(read_text(manifest))) if manifest else _bento_figures(arguments)
    named = {key: read_text(arguments.required(f"--{key}")).strip() for key in ("tag", "digest")}
    Path(arguments.required("--output")).write_text(json.dumps(named | figures, indent=1) + "\n", "utf-8")


def _bento_figures(arguments: Arguments) -> dict[str, Any]:
    from rules_bento.models.model import ModelDescription

    files = json.loads(read_text(arguments.required("--manifest")))
    models = [ModelDescription.loads(read_text(path)) for path in arguments.repeated("--model")]
    return {
        "archive_size": Path(arguments.required("--archive")).stat().st_size,
        "files": len(files),
        "models": [{"size": model.size, "tag": model.tag} for model in models],
        "size": sum(file["size"] for file in files),
    }


def _image_figures(manifest: dict[str, Any]) -> dict[str, Any]:
    layers = [{"digest": layer["digest"], "size": layer["size"]} for layer in manifest["layers"]]
    return {"layers": layers, "size": manifest["config"]["size"] + sum(layer["size"] for layer in layers)}


@Subcommand(
    {
        "--base-config": 1,
        "--built-wheel": 3,  # name, version, file
        "--bento-digest": 1,  # file
        "--created": 1,
        "--digest": 1,  # file
        "--excluded": 1,  # number and size of the files that are excluded from a wheel
        "--format": 1,  # cyclonedx or spdx
        "--index": 1,  # of Debian packages in the base or in a layer
        "--model": 1,  # description
        "--output": 1,
        "--allow-record-mismatch": 1,  # name of a package whose wheel is accepted with a wrong RECORD
        "--program": 0,  # the image is of a program, not of a Bento
        "--tag": 1,  # file
        "--wheel": 3,  # name, version, SHA-256
    }
)
def sbom(arguments: Arguments) -> None:
    """Write the SBOM of an image in the format that `--format` specifies."""
    from rules_bento.images import sbom as sboms
    from rules_bento.models.model import ModelDescription
    from rules_bento.tag import Tag

    tag = Tag.parse(read_text(arguments.required("--tag")).strip(), "tag")
    subject = sboms.ImageSubject(
        tag.name, tag.version, read_text(arguments.required("--digest")).strip(), arguments.required("--created")
    )
    architecture = read_object(read_file(arguments.required("--base-config")), "the base's config")["architecture"]
    components = [sboms.sources(subject, read_text(arguments.required("--bento-digest")).strip(), _subject(arguments))]
    comments = dict.fromkeys(arguments.repeated("--allow-record-mismatch"), sboms.RECORD_MISMATCH)
    for path in arguments.repeated("--excluded"):
        excluded = json.loads(read_text(path))
        if excluded["files"]:
            comment = sboms.EXCLUDED_FILES.format_map(excluded)
            comments[excluded["name"]] = f"{comments.get(excluded['name'], '')} {comment}".lstrip()
    components += [
        sboms.python_package(name, version, sha256, comments.get(name, ""))
        for name, version, sha256 in arguments.tuples("--wheel")
    ]
    for name, version, path in arguments.tuples("--built-wheel"):
        from rules_bento.archives import sha256_of

        components.append(sboms.python_package(name, version, sha256_of(path), comments.get(name, "")))
    components += [sboms.model(ModelDescription.loads(read_text(path))) for path in arguments.repeated("--model")]
    for path in arguments.repeated("--index"):
        components += sboms.debian_packages(json.loads(read_text(path))["packages"], architecture)
    form = cast("sboms.Format", arguments.required("--format"))
    Path(arguments.required("--output")).write_bytes(sboms.make_sbom(subject, components, form))


def _subject(arguments: Arguments) -> str:
    """Return "program" if `--program` is set, otherwise "bento"."""
    return "program" if arguments.has("--program") else "bento"


@Subcommand(
    {
        "--base-config": 1,
        "--bento-digest": 1,  # file
        "--built-wheel": 3,  # name, version, file
        "--exclude": 2,  # name of a wheel, pattern of its files that the image excludes; both are JSON strings
        "--index": 1,  # of Debian packages in the base or in a layer
        "--kind": 1,  # bento or image
        "--layer": 1,  # description of a layer that the image includes unchanged
        "--locked": 1,  # the requirements of a Bento, also with hashes
        "--model": 1,  # description
        "--output": 1,
        "--platform": 1,
        "--program": 0,  # the image is of a program, not of a Bento
        "--python-version": 1,
        "--tag": 1,  # file
        "--wheel": 3,  # name, version, SHA-256
    }
)
def build_definition(arguments: Arguments) -> None:
    """Write the `buildDefinition` of SLSA provenance as JSON. This document doesn't depend on the builder."""
    from rules_bento.signing.provenance import definition, dependency

    tag, subject = read_text(arguments.required("--tag")).strip(), _subject(arguments)
    excluded: dict[str, list[str]] = {}
    for name, pattern in arguments.tuples("--exclude"):
        excluded.setdefault(json.loads(name), []).append(json.loads(pattern))
    parameters: dict[str, Any] = {
        "target": arguments.required("--target"),
        subject: tag,
        "platform": arguments.optional("--platform"),
        "pythonVersion": arguments.optional("--python-version"),
        # "stated": without a lock, only the Bento's own requirements specify the packages.
        "packages": "locked" if arguments.has("--locked") or arguments.has("--wheel") else "stated",
        "exclude": excluded,
    }
    document = definition(
        arguments.required("--kind"),
        {name: value for name, value in parameters.items() if value},
        [
            dependency(f"{subject}:{tag}", read_text(arguments.required("--bento-digest")).strip()),
            *_dependencies(arguments),
        ],
    )
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True)
    Path(arguments.required("--output")).write_text(f"{text}\n", "utf-8")


def _dependencies(arguments: Arguments) -> Iterator[dict[str, Any]]:
    from rules_bento.archives import sha256_of
    from rules_bento.models.model import ModelDescription
    from rules_bento.signing.provenance import dependency

    for name, version, sha256 in arguments.tuples("--wheel"):
        yield dependency(_package_url(name, version), f"sha256:{sha256}")
    for name, version, file in arguments.tuples("--built-wheel"):
        yield dependency(_package_url(name, version), f"sha256:{sha256_of(file)}")
    for path in arguments.repeated("--locked"):
        yield from _locked_files(json.loads(read_text(path))["pinned_with_hashes"])
    for path in arguments.repeated("--model"):
        model = ModelDescription.loads(read_text(path))
        yield dependency(f"model:{model.tag}", f"blake3:{model.blake3}")
    for path in arguments.repeated("--layer"):
        digest = json.loads(read_text(path))["digest"]
        yield dependency(f"layer:{digest}", digest)
    for path in arguments.repeated("--base-config"):
        config = read_object(read_file(path), "the base's config")
        yield from _base_image(config)
        for index in arguments.repeated("--index"):
            yield from _debian_packages(json.loads(read_text(index))["packages"], config["architecture"])


def _locked_files(text: str) -> Iterator[dict[str, Any]]:
    """Yield a dependency entry for each hash in a requirements file."""
    from rules_bento.signing.provenance import dependency

    package = ""
    for word in text.split():
        if word.startswith("--hash="):
            yield dependency(package, word.removeprefix("--hash="))
        elif "==" in word:
            package = _package_url(*word.split("==", 1))


def _base_image(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the dependency entry of the base image, if its digest is known."""
    from rules_bento.signing.provenance import dependency

    digest, origin = config.get("digest"), config.get("origin")
    if digest:
        name = str(origin).rpartition("/")[2]
        where = f"?repository_url={quote(str(origin), safe='/:')}" if origin else ""
        yield dependency(f"pkg:oci/{quote(name or 'base')}@{quote(digest)}{where}", digest)


def _debian_packages(versions: dict[str, str], architecture: str) -> Iterator[dict[str, Any]]:
    """Yield a dependency entry for each Debian package. Omits digests, because layer digests cover the packages."""
    for name, version in versions.items():
        yield {"uri": f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"}


def _package_url(name: str, version: str) -> str:
    return f"pkg:pypi/{quote(name)}@{quote(version)}"
