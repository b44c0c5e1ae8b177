"""A Bento's `bento.yaml` (spec 2) and what lies beside its sources, from declared inputs.

The format is BentoML 1.4's, found by experiment; see docs/compatibility.md. `services`, labels and envs come from the
static reading of the service, everything else from the target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from rules_bento.errors import BentoError
from rules_bento.manifest import Entry, Manifest, content_version
from rules_bento.tag import Tag, check_version, check_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.model import ModelDescription
    from rules_bento.service import Model, Service, ServiceInfo

SPEC = 2
_DEBIAN_PACKAGES = "ca-certificates gnupg2 bash build-essential git"
_STAGES = ("all", "build", "runtime")


@dataclass(frozen=True)
class BundledModel:
    """A model that a Bento brings along, under its own name and perhaps an alias."""

    description: ModelDescription
    alias: str = ""

    @property
    def tag(self) -> Tag:
        """Name and version."""
        return Tag.parse(self.description.tag, "models")


@dataclass(frozen=True)
class LockedRequirements:
    """The texts of env/python where a lock has been sliced."""

    roots: str
    pinned: str
    pinned_with_hashes: str


@dataclass(frozen=True)
class Options:
    """What a target says of its Bento beyond the service's own source."""

    creation_time: str  # ISO 8601
    bentoml_version: str
    python_version: str  # X.Y, of the image
    name: str = ""  # default: from the service
    version: str = ""  # default: from the content
    description: str | None = None  # default: the project's README
    labels: dict[str, str] = field(default_factory=dict)
    envs: tuple[str, ...] = ()  # NAME[=value][;stage=...]
    requirements: str = ""  # the text of a requirements file
    lock: LockedRequirements | None = None  # takes the place of requirements


@dataclass(frozen=True)
class Bento:
    """Everything of a Bento but the bytes of its sources and models."""

    tag: Tag
    digest: bytes  # BLAKE3 of the content
    manifest: Manifest  # of all files, those of the models left out
    files: dict[str, bytes]  # what is made here, by path


def make_bento(
    info: ServiceInfo, options: Options, sources: Manifest, readme: str | None, models: Sequence[BundledModel]
) -> Bento:
    """Put a Bento together. Raises BentoError for what BentoML could not import or serve."""
    if info.kind == "legacy":
        raise BentoError(
            f"{info.path}: {info.service!r} is a service of BentoML's legacy API, whose bento.yaml (spec 1) the rules "
            f"do not write yet. Make it a class with @bentoml.service."
        )
    if not info.bento_name and not options.name:
        raise BentoError("bento_name: the source does not state the service's name plainly. Set the attribute.")
    name = check_word(options.name or str(info.bento_name), "bento_name: the name")
    if options.version:
        check_version(options.version, "version: the version")
    requirements, bentoml_version = _requirements(options)
    files = {
        "README.md": _readme(info, options, readme).encode(),
        "env/python/requirements.in": (options.lock.roots if options.lock else requirements).encode(),
        "env/python/requirements.txt": requirements.encode(),
    }
    if options.lock:
        files["env/python/requirements.lock.txt"] = options.lock.pinned_with_hashes.encode()
    document = _document(info, options, models, requirements, bentoml_version)
    digest = _identity(document, files, sources, models)
    tag = Tag(name, options.version or content_version(digest))
    document = {"service": document.pop("service"), "name": tag.name, "version": tag.version} | document
    files["bento.yaml"] = _yaml(document)
    manifest = Manifest.of([*_entries(files), *sources.under("src").entries])
    return Bento(tag, digest, manifest, files)


def _document(
    info: ServiceInfo,
    options: Options,
    models: Sequence[BundledModel],
    requirements: str,
    bentoml_version: str,
) -> dict[str, Any]:
    """bento.yaml in BentoML's order, without name and version."""
    resolved = {
        service.name: [_resolve(model, models, service) for model in service.models] for service in info.services
    }
    referenced = {entry["tag"] for entries in resolved.values() for entry in entries}
    return {
        "service": info.service,
        "bentoml_version": bentoml_version,
        "creation_time": options.creation_time,
        "labels": options.labels | info.labels,
        "models": [_model_entry(model) for model in models if model.alias or model.description.tag not in referenced],
        "entry_service": info.entry_service,
        "services": [_service_entry(service, resolved[service.name]) for service in info.services],
        "envs": [
            *(_env(text) for text in options.envs),
            *({"name": env.name, "value": env.value, "stage": env.stage} for env in info.envs),
        ],
        "schema": {},
        "args": {},
        "spec": SPEC,
        "image": _image(options.python_version, requirements),
    }


def _service_entry(service: Service, models: list[dict[str, Any]]) -> dict[str, Any]:
    dependencies = [
        {
            key: value
            for key in ("service", "deployment", "cluster", "url")
            if (value := getattr(dependency, key)) is not None
        }
        for dependency in service.dependencies
    ]
    return {
        "name": service.name,
        "service": "",
        "models": models,
        "dependencies": dependencies,
        "config": service.config,
    }


def _image(python_version: str, requirements: str) -> dict[str, Any]:
    if not re.fullmatch(r"3\.\d+", python_version):
        raise BentoError(f"python_version: {python_version!r} is not a version of Python, such as '3.12'.")
    install = "apt-get update && apt-get install -q -y --no-install-recommends --allow-remove-essential "
    return {
        "base_image": f"python:{python_version}-slim",
        "python_version": python_version,
        "commands": [install + _DEBIAN_PACKAGES],
        "python_requirements": requirements,
        "post_commands": [],
        "build_include": [],
    }


def _model_entry(model: BundledModel) -> dict[str, Any]:
    description = model.description
    entry = {"tag": description.tag, "module": description.module, "creation_time": description.creation_time}
    return entry | ({"alias": model.alias} if model.alias else {})


def _resolve(reference: Model, models: Sequence[BundledModel], service: Service) -> dict[str, Any]:
    """The entry of the bundled model that a service's reference means."""
    if reference.huggingface:
        raise BentoError(
            f"{service.path}:{service.line}: {service.class_name}.{reference.attribute} is a Hugging Face model, which "
            f"the rules cannot reference yet. Bundle it as a bento_model."
        )
    wanted = reference.tag.removesuffix(":latest")
    name, _, version = wanted.partition(":")
    found = [model for model in models if model.tag.name == name and model.tag.version.startswith(version)]
    if reference.alias:
        found = [model for model in models if model.alias == reference.tag] or found
    if not found:
        have = ", ".join(model.description.tag for model in models) or "none"
        raise BentoError(
            f"{service.path}:{service.line}: {service.class_name} needs the model {reference.tag!r}, but models has "
            f"{have}. Add its bento_model to models."
        )
    newest = max(found, key=lambda model: (model.description.creation_time, model.tag.version))
    if version and len(found) > 1 and newest.tag.version != version:
        raise BentoError(
            f"{service.path}:{service.line}: {reference.tag!r} begins the versions of several models: "
            f"{', '.join(model.description.tag for model in found)}. Write the whole version."
        )
    return _model_entry(BundledModel(newest.description))


def _requirements(options: Options) -> tuple[str, str]:
    """The text of requirements.txt, with a bentoml among them, and the version of bentoml that it pins."""
    if options.lock:
        found = re.search(r"^bentoml==(\S+)", options.lock.pinned, re.MULTILINE)
        if not found:
            raise BentoError("requirements: bentoml is missing, which serves the Bento. Add the hub's package of it.")
        return options.lock.pinned, found[1]
    pinned = re.search(r"^bentoml(?:\[[^]]*])?\s*==\s*([^\s;\\,]+)", options.requirements, re.MULTILINE | re.IGNORECASE)
    if pinned:
        return options.requirements, pinned[1]
    if re.search(r"^bentoml(\[[^]]*])?\s*@", options.requirements, re.MULTILINE | re.IGNORECASE):
        return options.requirements, options.bentoml_version
    if "--hash=" in options.requirements:
        raise BentoError(
            "requirements: a file with hashes has to have bentoml, too. Add it to its source and lock again."
        )
    return f"{options.requirements}bentoml=={options.bentoml_version}\n", options.bentoml_version


def _readme(info: ServiceInfo, options: Options, readme: str | None) -> str:
    """The Bento's README: the target's, the service's, the project's, else a title, in BentoML's order."""
    for text in (options.description, info.description, readme):
        if text is not None:
            return text
    return f"# {info.entry_service}:{options.version or 'dev'}\n"


def _env(text: str) -> dict[str, str]:
    setting, _, stage = text.partition(";stage=")
    name, _, value = setting.partition("=")
    stage = stage or "all"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or stage not in _STAGES:
        raise BentoError(
            f"envs: {text!r} cannot be read. Write NAME=value, if wanted with ;stage={', ;stage='.join(_STAGES)}."
        )
    return {"name": name, "value": value, "stage": stage}


def _identity(
    document: dict[str, Any], files: dict[str, bytes], sources: Manifest, models: Sequence[BundledModel]
) -> bytes:
    """BLAKE3 of the tree, with the models by their own identity and bento.yaml without its times."""
    timeless = {key: value for key, value in document.items() if key != "creation_time"}
    timeless["models"] = [_without_time(entry) for entry in document["models"]]
    timeless["services"] = [
        service | {"models": [_without_time(entry) for entry in service["models"]]} for service in document["services"]
    ]
    tree = [*_entries(files | {"bento.yaml": _yaml(timeless)}), *sources.under("src").entries]
    unique = {model.description.tag: model.description for model in models}
    tree += [Entry("models/" + tag.replace(":", "/"), model.size, 0o644, model.blake3) for tag, model in unique.items()]
    return Manifest.of(tree).identity()


def _without_time(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "creation_time"}


def _entries(files: dict[str, bytes]) -> list[Entry]:
    return [Entry.of_bytes(path, content) for path, content in files.items()]


def _yaml(document: dict[str, Any]) -> bytes:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text.encode()
