"""Models the options of a build, of bentofiles and of attributes alike, and merges the two.

None is an option that nobody set; what BentoML then takes is filled in where it is used. Combinations that cannot
be built, or of which BentoML would leave a part out, are refused here by name.
"""

from __future__ import annotations

from rules_bento.build_options import distros
from rules_bento.dataclasses_lite import dataclass, field, fields, replace
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Any, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class EnvVariable:
    """An environment variable of the Bento."""

    name: str
    value: str = ""
    stage: str = "all"


@dataclass(frozen=True)
class ModelChoice:
    """A model that the Bento brings along: `name`, `name:version` or `name:latest`."""

    tag: str
    filter: str | None = None  # label:KEY or label:KEY=VALUE, comma-separated
    alias: str | None = None


@dataclass(frozen=True)
class Docker:
    """`docker` of a bentofile."""

    distro: str | None = None
    python_version: str | None = None  # X.Y
    cuda_version: str | None = None  # whole
    env: dict[str, str] | None = None
    env_file: str | None = None  # the same as a dotenv file
    system_packages: tuple[str, ...] | None = None
    setup_script: str | None = None
    base_image: str | None = None
    dockerfile_template: str | None = None


@dataclass(frozen=True)
class Python:
    """`python` of a bentofile."""

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
    """`conda` of a bentofile."""

    environment_yml: str | None = None
    channels: tuple[str, ...] | None = None
    dependencies: tuple[str | dict[str, list[str]], ...] | None = None
    pip: tuple[str, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is asked of conda."""
        return not (self.environment_yml or self.channels or self.dependencies or self.pip)


@dataclass(frozen=True)
class BuildOptions:
    """Holds all options of a build."""

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
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def at(self, option: str) -> str:
        """Return how a message begins that is about an option (`docker.distro`)."""
        return self.places.get(option, option)


TOP = tuple(item.name for item in fields(BuildOptions) if item.name != "places")
DOCKER = tuple(item.name for item in fields(Docker) if item.name != "env_file")
PYTHON = tuple(item.name for item in fields(Python))
CONDA = tuple(item.name for item in fields(Conda))
GROUPS = {"docker": DOCKER, "python": PYTHON, "conda": CONDA}

KEYS = (*TOP, *(f"{group}.{key}" for group, keys in GROUPS.items() for key in keys))
"""Every option by its dotted name, for documents and tests that must know all of them."""


def check(options: BuildOptions) -> None:
    """Raise BentoError for options that do not go together."""
    docker, conda, python = options.docker, options.conda, options.python
    _check_distro(options)
    if docker.cuda_version and not conda.is_empty:
        raise BentoError(
            f"{options.at('docker.cuda_version')} and conda are both set, which BentoML has no image for. Use a "
            f"base_image that has both, or take CUDA from conda."
        )
    ignored = [key for key in ("channels", "dependencies", "pip") if getattr(conda, key)]
    if conda.environment_yml and ignored:
        raise BentoError(
            f"{options.at('conda.' + ignored[0])}: BentoML ignores it beside conda.environment_yml. Put it into "
            f"that file."
        )
    nested = [item for item in conda.dependencies or () if isinstance(item, dict)]
    if len(nested) > 1 or (nested and conda.pip):
        raise BentoError(f"{options.at('conda.dependencies')} has 'pip', and it is set a second time. Join the lists.")
    if python.requirements_txt and python.packages:
        raise BentoError(
            f"{options.at('python.packages')}: BentoML ignores it beside python.requirements_txt. Move the packages "
            f"into that file, or remove one of the two."
        )


def _check_distro(options: BuildOptions) -> None:
    docker = options.docker
    distro = distros.get(docker.distro or distros.DEFAULT)
    if docker.python_version and not docker.base_image and docker.python_version not in distros.PYTHON_VERSIONS:
        raise BentoError(
            f"{options.at('docker.python_version')} is {docker.python_version!r}, for which there is no image. Known "
            f"are {', '.join(distros.PYTHON_VERSIONS)}; for others, set base_image."
        )
    if docker.cuda_version and not docker.base_image and not distro.cuda_image(docker.cuda_version):
        supported = [name for name in distros.NAMES if distros.get(name).cuda_image(docker.cuda_version)]
        raise BentoError(
            f"{options.at('docker.cuda_version')}: there is no CUDA for distro {distro.name!r}. "
            f"Use {' or '.join(supported)}, or a base_image."
        )
    if docker.cuda_version and docker.base_image:
        raise BentoError(
            f"{options.at('docker.cuda_version')}: BentoML ignores it beside docker.base_image. Remove one of the two."
        )
    if not options.conda.is_empty and not docker.base_image and not distro.conda_image:
        supported = [name for name in distros.NAMES if distros.get(name).conda_image]
        raise BentoError(
            f"{options.at('conda')}: there is no conda for distro {distro.name!r}. Use {' or '.join(supported)}, or a "
            f"base_image that has conda."
        )


def spec1_reasons(options: BuildOptions) -> list[str]:
    """Return the options that only a `bento.yaml` of spec 1 can hold."""
    reasons = [f"docker.{key}" for key in ("cuda_version", "dockerfile_template") if getattr(options.docker, key)]
    if not options.conda.is_empty:
        reasons.append("conda")
    return reasons + (["python.wheels"] if options.python.wheels else [])


def merge(attributes: BuildOptions, bentofile: BuildOptions) -> BuildOptions:
    """Merge both: an attribute that is set wins over the bentofile; labels, args and envs are joined by name.

    Raises BentoError where the two name different services, for then one of them is a mistake, and for what does
    not go together.
    """
    services = [_module(options.service) for options in (attributes, bentofile) if options.service]
    if len(set(services)) > 1:
        raise BentoError(
            f"{bentofile.at('service')} is {bentofile.service!r}, but the target's service is "
            f"{attributes.service!r}. Make them the same."
        )
    named = {env.name for env in attributes.envs}
    merged = replace(
        _fill_unset(attributes, bentofile),
        labels=bentofile.labels | attributes.labels,
        args=bentofile.args | attributes.args,
        envs=(*(env for env in bentofile.envs if env.name not in named), *attributes.envs),
        docker=_fill_unset(attributes.docker, bentofile.docker),
        python=_fill_unset_python(attributes.python, bentofile.python),
        conda=_fill_unset(attributes.conda, bentofile.conda),
        places={**bentofile.places, **attributes.places},
    )
    check(merged)
    return merged


def _module(service: str) -> str:
    """Return a service with its module as Python names it: `pkg/service.py:Svc` is `pkg.service:Svc`."""
    module, colon, attribute = service.partition(":")
    return (module[:-3].replace("/", ".") if module.endswith(".py") else module) + colon + attribute


_Options = TypeVar("_Options", BuildOptions, Docker, Python, Conda)


def _fill_unset(one: _Options, other: _Options) -> _Options:
    """Return `one`, with its unset fields taken from `other`."""
    defaults = {item.name: getattr(other, item.name) for item in fields(one) if getattr(one, item.name) is None}
    return replace(one, **defaults)


def _fill_unset_python(one: Python, other: Python) -> Python:
    """Return the options of Python, of which packages and a requirements file replace each other."""
    if one.packages is not None or one.requirements_txt is not None:
        other = replace(other, packages=None, requirements_txt=None)
    return _fill_unset(one, other)


def with_defaults(
    options: BuildOptions, python_version: str, env: dict[str, str] | None, *, locked: bool
) -> dict[str, Any]:
    """Return all keys of a bentofile with what BentoML takes for those that nobody set.

    `env` stands for `docker.env`; `locked` is whether the Bento's packages are locked.
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
            "distro": docker.distro or (None if has_base_image else distros.DEFAULT),
            "python_version": docker.python_version or (None if has_base_image else python_version),
            "cuda_version": docker.cuda_version,
            "env": env or None,
            "system_packages": _list(docker.system_packages),
            "setup_script": docker.setup_script,
            "base_image": docker.base_image,
            "dockerfile_template": docker.dockerfile_template,
        },
        "python": {
            **{key: _list(getattr(python, key)) for key in PYTHON},
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
    """Return the channels of conda, BentoML's own where packages are asked for without any."""
    if (conda.dependencies or conda.pip) and not conda.channels and not conda.environment_yml:
        return ["conda-forge"]
    return list(conda.channels) if conda.channels is not None else None


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def packages_place(options: BuildOptions) -> str:
    """Return how a message begins that is about the packages of options."""
    return options.at("python.requirements_txt" if options.python.requirements_txt else "python.packages")
