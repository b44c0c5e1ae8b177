"""Defines the options of a build, and merges the attributes of a target with a bentofile.

An unset option is None. The code that uses an option applies BentoML's default. `check` raises BentoError if options
can't be combined, or if BentoML ignores an option because of another option.
"""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import dataclass, field, fields, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Mapping, TypeVar
from rules_bento.bentos.build_options import distros


@dataclass(frozen=True)
class EnvVariable:
    """An environment variable of a Bento."""

    name: str
    value: str = ""
    stage: str = "all"


@dataclass(frozen=True)
class ModelChoice:
    """A model that the Bento includes. The tag is `name`, `name:version`, or `name:latest`."""

    tag: str
    filter: str | None = None  # label:KEY or label:KEY=VALUE, comma-separated
    alias: str | None = None


@dataclass(frozen=True)
class Docker:
    """The `docker` options of a bentofile."""

    distro: str | None = None
    python_version: str | None = None  # X.Y
    cuda_version: str | None = None  # full version
    env: dict[str, str] | None = None
    env_file: str | None = None  # path of a dotenv file
    system_packages: tuple[str, ...] | None = None
    setup_script: str | None = None
    base_image: str | None = None
    dockerfile_template: str | None = None


@dataclass(frozen=True)
class Python:
    """The `python` options of a bentofile."""

    requirements_txt: str | None = None
    packages: tuple[str, ...] | None = None
    lock_packages: bool | None = None
    pack_git_packages: bool | None = None
    index_url: str | None = None
    no_index: bool | None = None
    trusted_host: tuple[str, ...] | None = None
    find_links: tuple[str, ...] | None = None
    extra_index_url: tuple[str, ...] | None = None
    pip_args: str | None = None
    wheels: tuple[str, ...] | None = None
    is_src_layout: bool | None = None


@dataclass(frozen=True)
class Conda:
    """The `conda` options of a bentofile."""

    environment_yml: str | None = None
    channels: tuple[str, ...] | None = None
    dependencies: tuple[str | dict[str, list[str]], ...] | None = None
    pip: tuple[str, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all conda options are unset."""
        return not (self.environment_yml or self.channels or self.dependencies or self.pip)


@dataclass(frozen=True)
class BuildOptions:
    """All options of a build."""

    service: str | None = None
    name: str | None = None
    description: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    docker: Docker = field(default_factory=Docker)
    python: Python = field(default_factory=Python)
    conda: Conda = field(default_factory=Conda)
    models: tuple[ModelChoice, ...] | None = None
    envs: tuple[EnvVariable, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)
    local_packages: Mapping[str, str] = field(default_factory=dict)  # not from an index: name to source
    unused_packages: tuple[str, ...] | None = None  # of pyproject.toml, which `requirements_txt` replaces
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def at(self, option: str) -> str:
        """Return the location of an option such as `docker.distro`, for the beginning of a message."""
        return self.places.get(option, option)


TOP = tuple(
    item.name for item in fields(BuildOptions) if item.name not in ("local_packages", "places", "unused_packages")
)
DOCKER = tuple(item.name for item in fields(Docker) if item.name != "env_file")
PYTHON = tuple(item.name for item in fields(Python))
CONDA = tuple(item.name for item in fields(Conda))
GROUPS = {"docker": DOCKER, "python": PYTHON, "conda": CONDA}

# The dotted names of all options, for documents and tests.
KEYS = (*TOP, *(f"{group}.{key}" for group, keys in GROUPS.items() for key in keys))


def check(options: BuildOptions) -> None:
    """Raise BentoError for options that can't be combined, or that the distro doesn't support."""
    docker, conda, python = options.docker, options.conda, options.python
    _check_distro(options)
    if docker.cuda_version and not conda.is_empty:
        problem = "BentoML has no default base image with both CUDA and conda"
        remedy = "Remove cuda_version. Then either install CUDA with conda, or set base_image to an image that "
        remedy += "contains CUDA and conda."
        raise BentoError(problem, place=options.at("docker.cuda_version"), remedy=remedy)
    ignored = [key for key in ("channels", "dependencies", "pip") if getattr(conda, key)]
    if conda.environment_yml and ignored:
        place = options.at(f"conda.{ignored[0]}")
        remedy = "Move the option to the file."
        raise BentoError("BentoML ignores this option if conda.environment_yml is set", place=place, remedy=remedy)
    nested = [item for item in conda.dependencies or () if isinstance(item, dict)]
    if len(nested) > 1 or (nested and conda.pip):
        raise BentoError("'pip' is set twice", place=options.at("conda.dependencies"), remedy="Merge the lists.")
    if python.requirements_txt and python.packages:
        problem = "BentoML ignores this option if python.requirements_txt is set"
        remedy = "Move the packages to the requirements file."
        raise BentoError(problem, place=options.at("python.packages"), remedy=remedy)


def _check_distro(options: BuildOptions) -> None:
    docker = options.docker
    distro = distros.get(docker.distro or distros.DEFAULT)
    cuda_place = options.at("docker.cuda_version")
    if docker.python_version and not docker.base_image and docker.python_version not in distros.PYTHON_VERSIONS:
        problem = f"Python {docker.python_version!r} isn't supported"
        remedy = f"Use {', '.join(distros.PYTHON_VERSIONS)}, or set base_image."
        raise BentoError(problem, place=options.at("docker.python_version"), remedy=remedy)
    if docker.cuda_version and not docker.base_image and not distro.cuda_image(docker.cuda_version):
        supported = " or ".join(name for name in distros.NAMES if distros.get(name).cuda_image(docker.cuda_version))
        problem = f"distro {distro.name!r} doesn't support CUDA {docker.cuda_version}"
        raise BentoError(problem, place=cuda_place, remedy=f"Use {supported}, or set base_image instead.")
    if docker.cuda_version and docker.base_image:
        remedy = "Remove one of the options."
        raise BentoError("BentoML ignores this option if docker.base_image is set", place=cuda_place, remedy=remedy)
    if not options.conda.is_empty and not docker.base_image and not distro.conda_image:
        supported = " or ".join(name for name in distros.NAMES if distros.get(name).conda_image)
        remedy = f"Use {supported}, or set base_image to an image with conda."
        raise BentoError(f"distro {distro.name!r} doesn't support conda", place=options.at("conda"), remedy=remedy)


def spec1_reasons(options: BuildOptions) -> list[str]:
    """Return the names of options that are set, but that only spec 1 of `bento.yaml` supports."""
    reasons = [f"docker.{key}" for key in ("cuda_version", "dockerfile_template") if getattr(options.docker, key)]
    if not options.conda.is_empty:
        reasons.append("conda")
    return reasons + (["python.wheels"] if options.python.wheels else [])


def merge(attributes: BuildOptions, bentofile: BuildOptions) -> BuildOptions:
    """Merge options, labels, args, and envs. `attributes` takes precedence. Raises BentoError for conflicts."""
    services = [_module(options.service) for options in (attributes, bentofile) if options.service]
    if attributes.service and ":" not in attributes.service and services[-1].startswith(f"{services[0]}:"):
        attributes = replace(attributes, service=None)  # only the file of the service that the bentofile names
    elif len(set(services)) > 1:
        problem = f"{bentofile.service!r} differs from the requested service {attributes.service!r}"
        remedy = "Use the same service, or another bentofile."
        raise BentoError(problem, place=bentofile.at("service"), remedy=remedy)
    named = {env.name for env in attributes.envs}
    merged = replace(
        _fill_unset(attributes, bentofile),
        labels=bentofile.labels | attributes.labels,
        args=bentofile.args | attributes.args,
        envs=(*(env for env in bentofile.envs if env.name not in named), *attributes.envs),
        docker=_fill_unset(attributes.docker, bentofile.docker),
        python=_fill_unset_python(attributes.python, bentofile.python),
        conda=_fill_unset(attributes.conda, bentofile.conda),
        local_packages={**bentofile.local_packages, **attributes.local_packages},
        places={**bentofile.places, **attributes.places},
    )
    check(merged)
    return merged


def _module(service: str) -> str:
    """Return `service` with a dotted module name: `pkg/service.py:Svc` becomes `pkg.service:Svc`."""
    module, colon, attribute = service.partition(":")
    return (module[:-3].replace("/", ".") if module.endswith(".py") else module) + colon + attribute


_Options = TypeVar("_Options", BuildOptions, Docker, Python, Conda)


def _fill_unset(one: _Options, other: _Options) -> _Options:
    """Return `one` with its unset fields copied from `other`."""
    defaults = {item.name: getattr(other, item.name) for item in fields(one) if getattr(one, item.name) is None}
    return replace(one, **defaults)


def _fill_unset_python(one: Python, other: Python) -> Python:
    """Return `one` with its unset fields copied from `other`.

    If `one` sets `packages` or `requirements_txt`, neither field is copied.
    """
    if one.packages is not None or one.requirements_txt is not None:
        other = replace(other, packages=None, requirements_txt=None)
    return _fill_unset(one, other)


def with_defaults(
    options: BuildOptions, python_version: str, env: dict[str, str] | None, *, locked: bool
) -> dict[str, Any]:
    """Return the options as a mapping with all keys of a bentofile. Unset options get their defaults.

    In the result, `docker.env` is `env`. `locked` is the default of `python.lock_packages`.
    """
    docker, python = options.docker, options.python
    has_base_image = docker.base_image is not None
    return {
        "service": options.service,
        "name": options.name,
        "description": options.description,
        "labels": dict(options.labels),
        "include": list(options.include) if options.include is not None else ["*"],
        "exclude": list(options.exclude or ()),
        "docker": {
            **{key: _list(getattr(docker, key)) for key in DOCKER},
            "distro": docker.distro or (None if has_base_image else distros.DEFAULT),
            "python_version": docker.python_version or (None if has_base_image else python_version),
            "env": env or None,
        },
        "python": {
            **{key: _list(getattr(python, key)) for key in PYTHON},
            "packages": _list(python.packages if python.packages is not None else options.unused_packages),
            "lock_packages": locked if python.lock_packages is None else python.lock_packages,
            "pack_git_packages": python.pack_git_packages is not False,
            "is_src_layout": bool(python.is_src_layout),
        },
        "conda": {**{key: _list(getattr(options.conda, key)) for key in CONDA}, "channels": channels(options.conda)},
        "models": [vars(model) for model in options.models or ()],
        "envs": [vars(env) for env in options.envs],
        "args": options.args,
    }


def channels(conda: Conda) -> list[str] | None:
    """Return the conda channels, or None. The default is conda-forge if `conda` has packages but no environment_yml."""
    if (conda.dependencies or conda.pip) and not conda.channels and not conda.environment_yml:
        return ["conda-forge"]
    return list(conda.channels) if conda.channels is not None else None


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def packages_place(options: BuildOptions) -> str:
    """Return the location of the option that declares Python packages, for the beginning of a message."""
    return options.at("python.requirements_txt" if options.python.requirements_txt else "python.packages")
