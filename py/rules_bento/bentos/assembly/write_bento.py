"""Assembles a Bento: generates bento.yaml and all other files except sources and models.

The files have the format of BentoML 1.4 (see docs/compatibility.md). The service metadata defines the services. The
options define most other values. The service metadata and the options can both define labels, envs, the image, and the
description.
"""

from __future__ import annotations

import json

from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.yaml_writer import dump_yaml
from rules_bento.base.tag import Tag, check_version, check_word
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Mapping, Sequence
from rules_bento.bentos.assembly import image_steps as images
from rules_bento.bentos.assembly import model_refs
from rules_bento.bentos.assembly.bento_yaml import content_identity
from rules_bento.bentos.assembly.env.common import ApiDescription, BentoSettings, Environment, docker_env, merge_envs
from rules_bento.bentos.build_options.option_checks import check_env, check_features, short_python_version
from rules_bento.bentos.build_options.options import BuildOptions, EnvVariable, spec1_reasons, with_defaults
from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest, content_version

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.image_steps import ImageDefinition
    from rules_bento.bentos.models.model import BundledModel
    from rules_bento.bentos.service import Service, ServiceInfo
    from rules_bento.bentos.service.loaded_modules import MissingModule

__all__ = ["AssembledBento", "assemble_bento"]

BENTOFILE = "bentofile.yaml"


@dataclass(frozen=True)
class AssembledBento:
    """A Bento without the contents of its sources and models. `files` maps paths to generated contents."""

    tag: Tag
    digest: bytes  # BLAKE3 of the content
    manifest: TreeManifest  # of all files except those of models
    files: dict[str, bytes]  # generated files, by path
    notes: Sequence[str] = ()  # warnings
    imports: Sequence[MissingModule] = ()  # modules that packages, or the base of an image, must provide


def assemble_bento(
    info: ServiceInfo, settings: BentoSettings, sources: TreeManifest, models: Sequence[BundledModel]
) -> AssembledBento:
    """Return the Bento for a service and settings. Raises BentoError for invalid, conflicting, or missing settings."""
    check_features(settings.features, "enable_features")
    options = settings.options
    if not info.bento_name and not options.name:
        remedy = "Set bento_name."
        raise BentoError("the source doesn't set the service's name to a constant", place="bento_name", remedy=remedy)
    # The attribute has another name than the bentofile's key because targets have a `name`.
    place = "bento_name" if options.at("name") == "name" else options.at("name")
    name = check_word(options.name or str(info.bento_name), f"{place}: the name")
    if settings.version:
        check_version(settings.version, "version: the version")
    entries = _ModelEntries(info, settings, models)
    paths = [entry.path for entry in sources.entries]
    environment = _environment(info, settings, _envs(info, options), models=bool(models), sources=paths)
    labels = options.labels | info.labels
    files = {"README.md": _readme(info, settings), **environment.files, **_api_files(settings.api)}
    if not any(entry.path == BENTOFILE for entry in sources.entries):
        files[f"src/{BENTOFILE}"] = _bentofile(info, settings, environment, labels)
    document = {
        "service": info.service,
        "bentoml_version": environment.bentoml_version,
        "creation_time": settings.creation_time,
        "labels": labels,
        "models": entries.own,
        "entry_service": info.entry_service,
        "services": [_service_entry(service, entries.by_service[service.name]) for service in info.services],
        "envs": [vars(env) for env in environment.envs],
        "schema": settings.api.schema if settings.api else {},
        "args": options.args,
        **environment.document,
    }
    if info.kind == "legacy":
        document |= _legacy(info, entries)
    own = [*_entries(files), *sources.under("src").entries]
    digest = content_identity(document, own, [model.description for model in models])
    tag = Tag(name, settings.version or content_version(digest))
    document = {"service": document.pop("service"), "name": tag.name, "version": tag.version} | document
    files["bento.yaml"] = dump_yaml(document)
    manifest = TreeManifest.of([*own, *_entries({"bento.yaml": files["bento.yaml"]})])
    notes, imports = _missing_modules(info, settings, files, sources)
    if any(env.name == "PYTHONPATH" for env in environment.envs):
        imports = []
    return AssembledBento(tag, digest, manifest, files, notes, imports)


def _missing_modules(
    info: ServiceInfo, settings: BentoSettings, files: Mapping[str, bytes], sources: TreeManifest
) -> tuple[list[str], list[MissingModule]]:
    """Return notes on modules that nothing provides, and the modules that packages must provide.

    Can raise BentoError instead of returning notes.
    """
    if not settings.survey or not settings.survey.missing:
        return [], []
    from rules_bento.bentos.assembly import missing_modules
    from rules_bento.bentos.service.loaded_modules import of_packages, own_modules

    own = own_modules(f"{entry.path}/" if entry.link else entry.path for entry in sources.entries)
    image, missing = images.from_service(info) or images.ImageDefinition(), settings.survey.missing
    return missing_modules.notes(missing, files, own, settings, image), of_packages(missing, own)


def members(bento: AssembledBento) -> list[Member]:
    """Return the generated files of a Bento as archive members.

    bento.yaml is the first member, so that programs that read a stream can identify the Bento early.
    """
    modes = {entry.path: entry.mode for entry in bento.manifest.entries}
    ordered = sorted(bento.files, key=lambda path: (path != "bento.yaml", path))
    return [Member.inline(path, bento.files[path], mode=modes[path]) for path in ordered]


def _environment(
    info: ServiceInfo, settings: BentoSettings, envs: Sequence[EnvVariable], *, models: bool, sources: Collection[str]
) -> Environment:
    """Return the environment in the format of spec 2, or spec 1 if required. Raises BentoError if settings conflict."""
    reasons = spec1_reasons(settings.options) + (["a legacy service"] if info.kind == "legacy" else [])
    image = images.from_service(info)
    if settings.spec == 2 and reasons:
        raise BentoError(f"spec 2 doesn't support {' and '.join(reasons)}", place="spec", remedy="Set spec = 1.")
    if image is not None and (reasons or settings.spec == 1):
        reason = " and ".join(reasons) or "spec = 1"
        problem = f"an image definition requires spec 2 of bento.yaml, which conflicts with {reason}"
        raise BentoError(problem, place=image.place, remedy="Remove the image definition or the conflicting option.")
    if settings.lock is not None:
        _check_python(settings, image)
        if settings.options.python.no_index:
            settings = replace(settings, lock=replace(settings.lock, links=""))
    elif settings.pins and not settings.is_python_of_pins:
        _check_python_of_pins(settings, image or images.ImageDefinition())
    _check_syntax(settings, image, is_spec_1=bool(reasons or settings.spec == 1))
    if reasons or settings.spec == 1:
        from rules_bento.bentos.assembly.env import spec1

        return spec1.make(settings, envs, models=models)
    from rules_bento.bentos.assembly.env import spec2

    return spec2.make(settings, image or images.ImageDefinition(), envs, models=models, sources=sources)


def _check_python(settings: BentoSettings, image: ImageDefinition | None) -> None:
    """Raise BentoError if the options or the image specify a Python version other than the locked version."""
    python_version = settings.options.docker.python_version
    # As with bento_name: the name of the target's attribute.
    place = settings.options.at("docker.python_version").removeprefix("docker.")
    if python_version is None and image is not None:
        python_version, place = image.python_version, f"{image.place}: python_version"
    if python_version is not None and python_version != settings.python_version:
        problem = f"the lock is for Python {settings.python_version}, but the specified version is {python_version}"
        remedy = f"Specify {settings.python_version}, or lock the requirements for Python {python_version}."
        raise BentoError(problem, place=place, remedy=remedy)


def _check_syntax(settings: BentoSettings, image: ImageDefinition | None, *, is_spec_1: bool) -> None:
    """Raise BentoError if the sources have syntax that the Bento's Python doesn't support."""
    docker = settings.options.docker
    stated = docker.python_version or (image and image.python_version)
    # The base image or conda determines another version.
    is_known = stated or not (is_spec_1 and (docker.base_image or not settings.options.conda.is_empty))
    if settings.survey and settings.survey.syntax and is_known:
        from rules_bento.bentos.service import python_syntax

        version = short_python_version(stated or settings.python_version, "python_version")
        python_syntax.check(*settings.survey.syntax, version)


def _check_python_of_pins(settings: BentoSettings, image: ImageDefinition) -> None:
    """Raise BentoError if a package's version is pinned, but the Python version, base image, and template are unset."""
    locked = [pin for pin in settings.pins if "==" in pin]
    docker = settings.options.docker
    if (
        locked
        and not (docker.python_version or docker.base_image or docker.dockerfile_template)
        and not (image.python_version or image.base_image)
    ):
        problem = f"{locked[0]} is from a rules_python package hub, but the Python version is unknown"
        raise BentoError(problem, place="deps", remedy="Set python_version to the hub's version, such as '3.12'.")


def _envs(info: ServiceInfo, options: BuildOptions) -> list[EnvVariable]:
    """Return the options' environment variables, followed by the service's environment variables."""
    own = [EnvVariable(env.name, env.value or "", env.stage) for env in info.envs]
    for env in own:
        line = f":{info.services[0].line}" if info.services else ""
        check_env(env, f"{info.path}{line}: envs of `{info.entry_service}`")
    return [*options.envs, *own]


class _ModelEntries:
    """Model entries for bento.yaml. `own` contains the Bento's entries. `by_service` maps services to entries."""

    def __init__(self, info: ServiceInfo, settings: BentoSettings, models: Sequence[BundledModel]) -> None:
        options = settings.options
        chosen, models = model_refs.choose(options.models or (), models, options.at("models"))
        model_refs.check_loads(settings.loads, models)
        self.by_service = {
            service.name: model_refs.service_models(service, models, settings.creation_time)
            for service in info.services
        }
        legacy, self.tags = model_refs.legacy_models(info, models)
        referenced = {entry["tag"] for entries in self.by_service.values() for entry in entries}
        by_tag = {model.description.tag: model.entry(model.alias) for model in models}
        further = [tag for tag, entry in by_tag.items() if "alias" in entry or tag not in referenced]
        self.own = _merge_by_tag([*(by_tag[tag] for tag in chosen), *legacy, *(by_tag[tag] for tag in further)])


def _merge_by_tag(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    by_tag: dict[str, dict[str, Any]] = {}
    for entry in entries:
        by_tag[entry["tag"]] = by_tag.get(entry["tag"], {}) | entry
    return list(by_tag.values())


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


def _legacy(info: ServiceInfo, entries: _ModelEntries) -> dict[str, Any]:
    """Return the bento.yaml entries `runners` and `apis` for a legacy service."""
    runners = [
        {
            "name": runner.name,
            "runnable_type": runner.runnable_type,
            "embedded": runner.embedded,
            "models": [entries.tags.get(tag, tag) for tag in runner.models],
            "resource_config": None,
        }
        for runner in info.runners
    ]
    apis = [{"name": api.name, "input_type": api.input_type, "output_type": api.output_type} for api in info.apis]
    return {"runners": runners, "apis": apis}


def _readme(info: ServiceInfo, settings: BentoSettings) -> bytes:
    """Return the first README that is set: in the options, in the service, or in README.md. The default is a title.

    Like BentoML, returns the content of a file unchanged, in any encoding.
    """
    for text, place in (
        (settings.options.description, settings.options.at("description")),
        (info.description, f"{info.path}: description"),
    ):
        if text is not None:
            if text.startswith("file:") and "\n" not in text.strip():
                return settings.files.read(text.removeprefix("file:").strip(), place)
            return text.encode()
    if settings.readme is not None:
        return settings.readme
    return f"# {info.entry_service}:{settings.version or 'dev'}\n".encode()


def _bentofile(info: ServiceInfo, settings: BentoSettings, environment: Environment, labels: dict[str, str]) -> bytes:
    """Return a bentofile with all options. BentoML adds such a file to `src/` if the project has no bentofile."""
    options = replace(
        settings.options,
        service=info.service,
        description=settings.options.description if settings.options.description is not None else info.description,
        labels=labels,
        envs=environment.envs,
    )
    env = merge_envs(docker_env(options, settings.files), environment.envs)
    values = with_defaults(options, settings.python_version, {one.name: one.value for one in env}, locked=True)
    return dump_yaml(values, sort_keys=True, allow_unicode=False)


def _api_files(api: ApiDescription | None) -> dict[str, bytes]:
    """Return the contents of the files in `apis/`, by path. Returns an empty dict if `api` is None."""
    if api is None:
        return {}
    schema = {"apis/schema.json": json.dumps(api.schema, indent=2).encode()} if api.schema else {}
    return {"apis/openapi.yaml": api.openapi.encode(), **schema}


def _entries(files: dict[str, bytes]) -> list[TreeEntry]:
    return [TreeEntry.of_bytes(path, content) for path, content in files.items()]
