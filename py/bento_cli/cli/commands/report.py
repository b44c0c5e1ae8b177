"""Implements `bento report`, which writes a page about a Bento or an image."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Sequence
from rules_bento.bentos.assembly.kinds import BENTO

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import File, Tag, command
from bento_cli.projects.project_reach import confined

if TYPE_CHECKING:
    from rules_bento.base.archives.unpack import Form
    from rules_bento.base.typing_lite import BinaryIO
    from rules_bento.images.registry.layout import Layout

    from bento_cli.library import Store

_MODELS = "models/"
_MAX_SCANNED = 1 << 20  # bytes of a file that is searched for secrets
_TARGET = "a tag, an archive of a Bento, REGISTRY/IMAGE, oci:DIR, or oci-archive:FILE"


@command("iris:latest", "registry.example.com/iris:v1 -o iris.html", "iris:v1 iris:v2")
@click.argument("target", type=Tag(), metavar="TAG|IMAGE|FILE", help=f"Report on this Bento or image: {_TARGET}")
@click.argument("other", type=Tag(), metavar="[OTHER]", default="", help="Report on this one instead, and what changed")
@shared_options.option(
    "-o, --output",
    "Write this page, or JSON to a file with the suffix .json (default: report.html)",
    type=File(),
    default="report.html",
)
@shared_options.option("--platform OS/ARCHITECTURE", "Select this image of an index", default="")
@shared_options.insecure
def report_command(store: Store, target: str, other: str, output: str, platform: str, insecure: Sequence[str]) -> None:
    """Write a page about the size and the contents of a Bento or an image.

    The page shows the layers, packages, models, APIs, and files, which packages require a package, and checks. With
    OTHER, the page also shows what changed from the first to the second. The page is one file, and makes no request.
    An image in a registry is downloaded completely.
    """
    from rules_bento.base.archives.atomic import atomic_file
    from rules_bento.bentos.packages.platforms import ARCHITECTURES
    from rules_bento.images.reports.html_page import page
    from rules_bento.images.reports.report_changes import compare, new_startup

    machine = os.uname().machine
    platform = platform or f"linux/{ARCHITECTURES.get(machine, machine)}"
    reports = [_describe(store, each, platform, insecure) for each in (target, *filter(None, [other]))]
    if len({"layers" in report for report in reports}) > 1:
        raise BentoError("a Bento can't be compared with an image", place=other, remedy="Specify two of one kind.")
    if other and (note := new_startup(*reports)):
        show.note(note)
    path = Path(output)
    if path.suffix == ".json":
        changes = {"changes": compare(*reports)} if other else {}
        text = _json({**reports[-1], **changes})
    else:
        text = confined([], page, reports[-1], reports[0] if other else None)
    if not path.parent.is_dir():
        raise BentoError("the directory doesn't exist", place=str(path.parent), remedy="Create the directory.")
    with atomic_file(path) as file:  # writes: output, of the user
        file.write(text.encode("utf-8", "backslashreplace"))  # JSON also escapes unpaired surrogates this way
    show.done(f"Wrote {show.plain(output)}.")


def _json(report: dict[str, Any]) -> str:
    import json

    return json.dumps(report, ensure_ascii=False, indent=1) + "\n"


def _describe(store: Store, target: str, platform: str, insecure: Sequence[str]) -> dict[str, Any]:
    from rules_bento.base.archives import unpack

    from bento_cli.library import NotFoundError, archive_of
    from bento_cli.sharing.registry import is_layout

    if is_layout(target) and target != "-":
        with _local_layout(target) as layout:
            return _of_image(layout, target, platform)
    if "/" in target and not Path(target).exists() and not target.endswith(".bento"):
        with _pulled(target, platform, insecure) as layout:
            return _of_image(layout, target, platform)
    if archive := archive_of(target):
        return confined([] if target == "-" else [target], _of_bento, target, *archive)
    entry = store.bentos.get(target)
    report = confined([entry.path], _of_bento, str(entry.tag), entry.path, "folder")
    models = [model for model in report["models"] if not model["files"]]
    for model in models:
        with suppress(NotFoundError):
            stored = store.models.get(model["tag"])
            files = {item.path: item.size for item, _ in unpack.read(stored.path, "folder") if item.kind != "folder"}
            model |= _model(str(stored.tag), files, stored.description.module)
    return report


@contextmanager
def _local_layout(target: str) -> Iterator[Layout]:
    from rules_bento.base.own_files import own_directory
    from rules_bento.images.registry import docker_archive
    from rules_bento.images.registry.layout import Layout

    from bento_cli.sharing.registry import OCI_ARCHIVE, OCI_DIRECTORY

    if not target.startswith(OCI_ARCHIVE):
        yield Layout.open(Path(target.removeprefix(OCI_DIRECTORY)))
        return
    from bento_cli.sharing.registry.layouts import write_directory

    with own_directory() as scratch:
        write_directory(scratch, {"": docker_archive.read(Path(target.removeprefix(OCI_ARCHIVE)))}, None)
        yield Layout(scratch)


@contextmanager
def _pulled(target: str, platform: str, insecure: Sequence[str]) -> Iterator[Layout]:
    """Yield a temporary layout with the image for a platform."""
    from rules_bento.base.own_files import own_directory
    from rules_bento.images.registry.layout import Layout
    from rules_bento.images.registry.pull_from_registry import pull
    from rules_bento.images.registry.reference import Reference

    reference = Reference.from_url(target)
    with own_directory() as scratch:
        layout = Layout.create(scratch)
        with shared_options.connected(insecure, f"Pulling {target}") as (registries, progress):
            pull([reference], layout, registries, progress, platforms=[platform])
        yield layout


def _of_image(layout: Layout, target: str, platform: str) -> dict[str, Any]:
    from rules_bento.base.formats.json import read_object
    from rules_bento.images import plan
    from rules_bento.images.oci_image import layer_names
    from rules_bento.images.registry.base_images import check_layers, find_images
    from rules_bento.images.reports.layer_contents import LayerReader

    [image] = find_images(layout, [platform], target, "Set --platform.").values()
    config = read_object(layout.read(layout.manifest(image.digest).config), target).get("config")
    config = config if isinstance(config, dict) else {}
    reader = LayerReader(image.config["env"].get("BENTO_PATH", plan.BENTO))
    names = layer_names(image.config.get("history"), len(image.layers))
    blobs = [layout.blob(layer.digest) for layer in image.layers]

    def read() -> dict[str, Any]:
        check_layers(layout, [image])
        for layer, name, blob in zip(image.layers, names, blobs, strict=True):
            reader.add(layer._replace(name=name), blob)
        return reader.report()

    user, report = config.get("User"), confined(blobs, read)
    return {"target": target, "digest": image.digest, "user": user if isinstance(user, str) else "", **report}


def _of_bento(name: str, source: Path | BinaryIO, form: Form) -> dict[str, Any]:
    """Return the report on a Bento in an archive or a directory."""
    from rules_bento.base.archives import unpack
    from rules_bento.base.archives.archive import REQUIREMENTS
    from rules_bento.bentos.assembly import bento_yaml
    from rules_bento.bentos.sources import secrets
    from rules_bento.images.reports import bento_report

    from bento_cli.store.import_session import digest

    files: list[dict[str, Any]] = []
    texts: dict[str, bytes] = {}
    findings: list[str] = []
    for item, contents in unpack.read(source, form):
        content = f"-> {item.link}"
        if item.kind == "file":
            if item.size <= _MAX_SCANNED or item.path == BENTO.descriptor:
                data = b"".join(contents)
                contents = iter((data,))
                if item.path in (BENTO.descriptor, *REQUIREMENTS):
                    texts[item.path] = data
                elif item.path.startswith("src/"):
                    findings += (f"{path}:{line}: {kind}" for path, line, kind in secrets.scan(item.path, data))
            content = digest(contents)
        if item.kind != "folder":
            files.append({"path": item.path, "size": item.size, "content": content})
    if BENTO.descriptor not in texts:
        raise BentoError(f"no {BENTO.descriptor}", place=name, remedy="Specify an archive of a Bento.")
    description = bento_yaml.parse(BENTO, texts[BENTO.descriptor], f"{name}: {BENTO.descriptor}")
    requirements = texts.get(REQUIREMENTS[0]) or texts.get(REQUIREMENTS[1], b"")
    return {
        "tag": str(description.tag),
        "services": bento_report.described_services(description.document),
        "models": [_packed_model(model.tag, files) for model in description.models],
        "packages": bento_report.packages(
            decode_text(requirements, f"{name}: requirements"), description.python_version
        ),
        "files": sorted(
            (file for file in files if not file["path"].startswith(_MODELS)), key=lambda file: file["path"]
        ),
        "locked": REQUIREMENTS[0] in texts,
        "secrets": findings,
    }


def _packed_model(tag: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the report on a model, whose files can be among the files of a Bento."""
    below = f"{_MODELS}{tag.replace(':', '/')}/"
    sizes = {file["path"]: file["size"] for file in files if file["path"].startswith(below)}
    return _model(tag, {path.removeprefix(below): size for path, size in sizes.items()})


def _model(tag: str, files: dict[str, int], module: str = "") -> dict[str, Any]:
    from rules_bento.images.reports.bento_report import pickles

    listed = [{"path": path, "size": size} for path, size in sorted(files.items())]
    size = sum(files.values())
    return {
        "tag": tag, "module": module, "labels": {}, "size": size, "weights": [], "pickles": pickles(files),
        "files": listed,
    }  # fmt: skip
