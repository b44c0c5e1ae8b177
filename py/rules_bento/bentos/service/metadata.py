"""Defines the metadata of a service, and its JSON form.

The structure follows bento.yaml of BentoML 1.4: `services`, `labels`, `envs`, `schema.routes`, and, for a legacy
service, `runners` and `apis`.
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import asdict, dataclass, field
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Literal, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True)
class SourceTree:
    """The files in a Bento's src/: their relative POSIX paths, and a function that reads the file at a path.

    `bentoml_users` returns the modules of packages that require bentoml, as far as they are known. `parse` returns the
    syntax tree of a file, as `python_source.parse`.
    """

    paths: Collection[str]
    read: Callable[[str], bytes]
    bentoml_users: Callable[[], Collection[str]] = tuple
    parse: Callable[[bytes, str], Any] = parse


@dataclass(frozen=True)
class Unknown:
    """A value that isn't a constant in the source.

    Attributes:
        what: the name of the value, and why it is unknown, such as "`workers` of service `Svc`: `os.environ` …".
        path: the file in src/.
        line: the 1-based line number in the file.
        field: the field, such as `config.traffic.timeout`, `models.x` (a model's tag), `labels`, `labels.team`, `envs`,
            `envs.A`, `description`, or `image`. The field `service` represents the complete service.
        service: the name of the service.

    """

    what: str
    path: str
    line: int
    field: str
    service: str


@dataclass(frozen=True)
class HuggingFace:
    """A `HuggingFaceModel` in the source. If `endpoint` is None, BentoML's default applies."""

    model_id: str
    revision: str = "main"
    endpoint: str | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Model:
    """A model that a service requires.

    Attributes:
        attribute: the class attribute, or an empty string for a legacy service.
        tag: `name`, `name:version`, or `name:latest`; empty if the tag is unknown or the model is on Hugging Face.
        alias: whether `tag` might be the alias of a model in the Bento. True for `bentoml.models.get`.
        huggingface: the Hugging Face model, or None if the registry is `bentoml`.

    """

    attribute: str
    tag: str
    alias: bool = False
    huggingface: HuggingFace | None = None

    @property
    def registry(self) -> str:
        """The model's registry in bento.yaml: `bentoml` or `huggingface`."""
        return "huggingface" if self.huggingface else "bentoml"


@dataclass(frozen=True)
class Dependency:
    """A class attribute with the value `bentoml.depends(...)`. `service` is the name of the required service."""

    attribute: str
    service: str | None = None
    deployment: str | None = None
    cluster: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Api:
    """An API endpoint. Only legacy services set `input_type` and `output_type`, the class names of IO descriptors."""

    name: str
    route: str
    is_task: bool = False
    batchable: bool = False
    is_stream: bool = False
    input_type: str | None = None
    output_type: str | None = None


@dataclass(frozen=True)
class Service:
    """An item of `services` in bento.yaml.

    `path` and `line` locate the class. `config` includes the values that BentoML adds. `mounts` contains the URL paths
    of mounted applications. Tuples are in BentoML's order.
    """

    name: str
    class_name: str
    path: str
    line: int
    models: tuple[Model, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    config: dict[str, Json] = field(default_factory=dict)
    apis: tuple[Api, ...] = ()
    mounts: tuple[str, ...] = ()
    doc: str | None = None


@dataclass(frozen=True)
class Env:
    """An environment variable. An unknown `value` is None."""

    name: str
    value: str | None = ""
    stage: str = "all"


@dataclass(frozen=True)
class ImageCall:
    """A method call on a `bentoml.images.Image`."""

    method: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """A `bentoml.images.Image`: the arguments of the constructor, and the method calls in order."""

    arguments: dict[str, Json] = field(default_factory=dict)
    calls: tuple[ImageCall, ...] = ()


@dataclass(frozen=True)
class Runner:
    """A runner of a legacy service. `runnable_type` is the name of the `Runnable` class."""

    name: str
    runnable_type: str
    embedded: bool = False
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServiceInfo:
    """The metadata of a service for bento.yaml.

    Attributes:
        service: the `service` field of bento.yaml, `module:attr`.
        path: the service module's file in src/.
        kind: `new` for `@bentoml.service`, `legacy` for `bentoml.legacy.Service`.
        bento_name: the default name of the Bento, or None if static analysis doesn't support the service.
        entry_service: the name of the entry service, or None if static analysis doesn't support the service.
        services: the services in BentoML's order, entry service first; empty for a legacy service.
        labels: the known labels of the entry service. `envs`, `description`, and `image` are also from this service.
        models: the models of a legacy service and its runners. Empty for other services, like `runners` and `apis`.
        unknowns: the values that aren't constants in the source, in the order of the services.

    """

    service: str
    path: str
    kind: Literal["new", "legacy"]
    bento_name: str | None
    entry_service: str | None
    services: tuple[Service, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    envs: tuple[Env, ...] = ()
    description: str | None = None
    image: Image | None = None
    models: tuple[Model, ...] = ()
    runners: tuple[Runner, ...] = ()
    apis: tuple[Api, ...] = ()
    unknowns: tuple[Unknown, ...] = ()


_CAPITALS = re.compile(r"([A-Z]+)(?=[a-z0-9])")


def snake_case(name: str) -> str:
    """Return the name that BentoML derives from a service's name: `ImgSvc` becomes `img_svc`."""

    def lower(match: re.Match[str]) -> str:
        word = match.group().lower()
        return f"_{word[:-1]}_{word[-1]}" if len(word) > 1 else f"_{word}"

    return _CAPITALS.sub(lower, name).lstrip("_").lower()


_CLASSES: dict[str, Any] = {
    "apis": Api,
    "calls": ImageCall,
    "dependencies": Dependency,
    "envs": Env,
    "huggingface": HuggingFace,
    "image": Image,
    "models": Model,
    "runners": Runner,
    "services": Service,
    "unknowns": Unknown,
}


def to_json(info: ServiceInfo) -> dict[str, Any]:
    """Return the metadata as a JSON object that `from_json` accepts."""
    return asdict(info)


def from_json(data: dict[str, Any]) -> ServiceInfo:
    """Convert a JSON object from `to_json` to metadata. Raises TypeError for missing or unknown fields."""
    return ServiceInfo(**_fields(data))


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _value(value, _CLASSES.get(key)) for key, value in row.items()}


def _value(value: Any, of: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_value(each, of) for each in value)
    return of(**_fields(value)) if of and isinstance(value, dict) else value
