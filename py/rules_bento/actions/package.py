"""Subcommands that write the metadata of a Bento, such as bento.yaml, and compare a Bento with an imported service."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from rules_bento import service
from rules_bento.actions import secrets
from rules_bento.archives.archive import join, write_part
from rules_bento.arguments import Arguments, Subcommand, check_labels
from rules_bento.bento import assemble, image_steps
from rules_bento.bento.env.common import ApiDescription, BentoSettings
from rules_bento.bento.named_files import export_uv_lock
from rules_bento.build_options import option_checks, target_options
from rules_bento.build_options.project import ProjectFiles
from rules_bento.errors import BentoError
from rules_bento.models.model import BundledModel, ModelDescription
from rules_bento.packages.requirements import check_lines, logical_lines
from rules_bento.sources.manifest import TreeManifest
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator

if TYPE_CHECKING:
    from rules_bento.formats.differences import FieldDifference
    from rules_bento.packages.requirements import Line


PACKAGE_FLAGS = secrets.FLAGS | {
    "--archive": 1,  # the `.bento`, if it contains only sources and metadata
    "--attributes": 1,  # JSON object: attributes that no option of a bentofile represents
    "--bento-yaml": 1,
    "--bentofile": 2,  # path, name in messages
    "--bentoml-version": 1,
    "--contents": 1,  # a part with sources, for the archive
    "--creation-time": 1,
    "--digest": 1,
    "--file": 2,  # a file that options can name: path in the build context, path to read
    "--image": 2,  # path of the image's JSON, label in messages
    "--locked": 1,  # roots, pinned requirements, and the same with hashes
    "--manifest": 1,
    "--model": 2,  # description, alias
    "--options": 1,  # JSON in the form of a bentofile
    "--part": 1,
    "--pin": 1,  # name==version, or a name, of a package of a rules_python hub that libraries need
    "--platform": 1,  # of the Bento, `<os>_<machine>`
    "--python": 1,
    "--python-version": 1,
    "--requirements-file": 1,
    "--service-info": 1,
    "--sources": 1,
    "--tag": 1,
    "--ignore-library": 1,  # file name of machine code that can be for another platform
    "--uv": 1,
}


@Subcommand(PACKAGE_FLAGS)
def package(arguments: Arguments) -> None:
    """Write a Bento's bento.yaml, manifest, digest, and tag, and the archive part that contains the metadata.

    With `--archive`, also writes the complete archive.
    """
    bento = make_bento(arguments, json.loads(Path(arguments.required("--service-info")).read_text("utf-8")))
    in_contents = {entry.path for entry in bento.manifest.entries} - set(bento.files)
    secrets.check_contents(arguments, sorted(bento.files.items()), in_contents)
    part = Path(arguments.required("--part"))
    write_part(part, assemble.members(bento), threads=1)
    if arguments.optional("--archive"):
        join(Path(arguments.required("--archive")), [part, *map(Path, arguments.repeated("--contents"))])
    Path(arguments.required("--bento-yaml")).write_bytes(bento.files["bento.yaml"])
    Path(arguments.required("--manifest")).write_text(bento.manifest.to_json(), "utf-8")
    Path(arguments.required("--digest")).write_text(f"blake3:{bento.digest.hex()}\n", "utf-8")
    Path(arguments.required("--tag")).write_text(f"{bento.tag}\n", "utf-8")


def make_bento(arguments: Arguments, service_info: dict[str, Any]) -> assemble.AssembledBento:
    """Assemble a Bento from attributes and the analyzed service. Raises BentoError if metadata is unknown."""
    attributes: dict[str, Any] = json.loads(arguments.optional("--attributes", "{}"))
    settings = _bento_settings(arguments, attributes, service_info)
    models = [
        BundledModel(ModelDescription.loads(Path(path).read_text("utf-8")), alias)
        for path, alias in arguments.tuples("--model")
    ]
    info = service.override(service.from_json(service_info["service"]), _declared_metadata(attributes, settings))
    service.require_known(info, arguments.required("--target"))
    sources_path = arguments.required("--sources")
    sources = TreeManifest.from_json(Path(sources_path).read_text("utf-8"), sources_path)
    _check_architectures(arguments, sources)
    return assemble.assemble_bento(info, settings, sources, models)


def _check_architectures(arguments: Arguments, sources: TreeManifest) -> None:
    """Raise BentoError if sources contain machine code for another platform. Ignores files in `--ignore-library`."""
    files = {f"src/{entry.path}": entry.machine for entry in sources.entries if entry.machine}
    unchecked = arguments.repeated("--ignore-library")
    if files or unchecked:
        from rules_bento.sources.cpu_arch import reject_wrong_architecture

        reject_wrong_architecture(files, arguments.optional("--platform"), unchecked)


def _declared_metadata(attributes: dict[str, Any], settings: BentoSettings) -> service.Declared:
    """Return the service metadata that the target declares."""
    options = settings.options
    return service.Declared(
        bento_name=options.name,
        service_models=dict(attributes.get("service_models", ())),
        config={name: json.loads(config) for name, config in attributes.get("service_config", ())},
        envs={env.name: env.value for env in options.envs},
        labels=options.labels,
        in_full=attributes.get("complete_metadata", []),
        image=settings.image,
        description=options.description,
    )


def _bento_settings(arguments: Arguments, attributes: dict[str, Any], service_info: dict[str, Any]) -> BentoSettings:
    from base64 import b64decode

    uv = arguments.optional("--uv")
    lock = arguments.optional("--locked")
    # The files that the snapshot found for options.
    contents: dict[str, str | bytes] = {
        path: b64decode(content) for path, content in service_info.get("files", {}).items()
    }
    return BentoSettings(
        creation_time=arguments.required("--creation-time"),
        bentoml_version=arguments.required("--bentoml-version"),
        python_version=option_checks.short_python_version(arguments.required("--python-version"), "python_version"),
        options=target_options.read(
            _read_options(arguments, attributes),
            arguments.tuples("--bentofile"),
            src_exists=service_info.get("src_exists", False),
        ),
        files=ProjectFiles(contents | dict(arguments.tuples("--file"))),  # type: ignore[arg-type]
        version=attributes.get("version", ""),
        readme=service_info["readme"],
        loads=service_info.get("loads", []),
        requirements=_read_requirements(arguments),
        own_packages=tuple(service_info.get("own_packages", ())),
        pins=tuple(arguments.repeated("--pin")),
        lock=assemble.LockedRequirements.loads(Path(lock).read_text("utf-8")) if lock else None,
        image=_read_image(arguments),
        api=ApiDescription(**service_info["api"]) if "api" in service_info else None,
        spec=attributes.get("spec"),
        export_uv_lock=partial(export_uv_lock, uv=uv, python=arguments.optional("--python") or None) if uv else None,
    )


def _read_options(arguments: Arguments, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the target's options in the format of a bentofile. Raises BentoError for invalid or conflicting values."""
    data: dict[str, Any] = json.loads(arguments.optional("--options", "{}"))
    data["labels"] = data.get("labels", {}) | check_labels(dict(attributes.get("labels", ())))
    envs = [vars(option_checks.parse_env(text, "bento_env")) for text in attributes.get("bento_env", ())]
    data["envs"] = [*data.get("envs", ()), *envs]
    return data


def _read_requirements(arguments: Arguments) -> tuple[Line, ...]:
    lines: list[Line] = []
    for path in arguments.repeated("--requirements-file"):
        lines += logical_lines(_read_utf8(path, "requirements").removeprefix("\N{BYTE ORDER MARK}"), path)
    check_lines(lines)
    return tuple(lines)


def _read_image(arguments: Arguments) -> image_steps.ImageDefinition | None:
    for path, label in arguments.tuples("--image"):
        return image_steps.from_json(Path(path).read_text("utf-8"), label)
    return None


def _read_utf8(path: str, attribute: str) -> str:
    try:
        text = Path(path).read_bytes().decode()
    except UnicodeDecodeError:
        raise BentoError(f"{attribute}: {path} isn't valid UTF-8. Save the file as UTF-8.") from None
    return text


# Keys that depend on the digest, and keys that static analysis can't determine.
_IGNORED_KEYS = ("creation_time", "schema", "version")
_GENERATED_FILES = ("bento.yaml", "apis/", "src/bentofile.yaml")


@Subcommand(PACKAGE_FLAGS | {"--imported": 1, "--report": 1})
def compare_service_metadata(arguments: Arguments) -> None:
    """Write a report with one line for each difference between the Bento and the imported service."""
    from rules_bento.service.import_answer import place_of

    read = _read_json(arguments.required("--service-info"))
    imported = _read_json(arguments.required("--imported"))
    differences = [*_service_differences(read["service"], imported["service"])]
    if not differences:
        differences = [*_bento_differences(make_bento(arguments, read), make_bento(arguments, imported))]
    lines = [
        f"{place_of(field, read['service'])}: {field} is {first} in the Bento, and {second} by importing the service.\n"
        for field, first, second in differences
    ]
    Path(arguments.required("--report")).write_text("".join(lines), "utf-8")


def _read_json(path: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    return data


def _service_differences(read: dict[str, Any], imported: dict[str, Any]) -> Iterator[FieldDifference]:
    """Yield differences in fields that bento.yaml omits: kinds, APIs, and docstrings. Skips unknown values."""
    from rules_bento.formats.differences import differences

    unknown = {field.partition(".")[0] for field in (unknown["field"] for unknown in read["unknowns"])}
    yield from differences(read["kind"], imported["kind"], "kind")
    if unknown & {"service", "name", "members", "dependencies"} or len(read["services"]) != len(imported["services"]):
        return
    for index, (one, other) in enumerate(zip(read["services"], imported["services"], strict=True)):
        if "apis" not in unknown:
            yield from differences(one["apis"], other["apis"], f"services.{index}.apis")
        if "doc" not in unknown:
            yield from differences(one["doc"], other["doc"], f"services.{index}.doc")


def _bento_differences(built: assemble.AssembledBento, other: assemble.AssembledBento) -> Iterator[FieldDifference]:
    import yaml

    from rules_bento.formats.differences import FieldDifference, differences

    documents: list[dict[str, Any]] = [yaml.safe_load(bento.files["bento.yaml"]) for bento in (built, other)]
    ours, theirs = ({key: one for key, one in document.items() if key not in _IGNORED_KEYS} for document in documents)
    yield from differences(ours, theirs)
    files = [{path for path in bento.files if not path.startswith(_GENERATED_FILES)} for bento in (built, other)]
    for path in sorted(files[0] | files[1]):
        if built.files.get(path) != other.files.get(path):
            yield FieldDifference(path, _file_size(built, path), _file_size(other, path))


def _file_size(bento: assemble.AssembledBento, path: str) -> str:
    return f"{len(bento.files[path])} bytes" if path in bento.files else "nothing"
