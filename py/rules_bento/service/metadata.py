"""Defines the metadata of a service as frozen values, and their JSON form.

Shapes follow bento.yaml of BentoML 1.4: `services`, `labels`, `envs`, `schema.routes`; for a legacy service `runners`
and `apis`.
"""

from __future__ import annotations

from rules_bento.dataclasses_lite import asdict, dataclass, field
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Literal, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True)
class SourceTree:
    """Reads files of a Bento's src/, by their relative paths with `/`, when they are needed."""

    paths: Collection[str]
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class Unknown:
    """Describes a value that isn't a constant in the source.

    Attributes:
        what: the value and the reason, as a clause: "`workers` of service `Svc`: `os.environ` …".
        path: file in src/.
        line: line in it, from 1.
        `fact`: the name of the value: `service` (all of it, which only an import gives), `models.x` (a tag),
            `config.traffic.timeout`, `labels`, `labels.team`, `envs`, `envs.A`, `description`, `image`.
        service: the name of its service.

    """

    what: str
    path: str
    line: int
    fact: str
    service: str

    @property
    def kind(self) -> str:
        """The first part of `fact`."""
        return self.fact.partition(".")[0]


@dataclass(frozen=True)
class HuggingFace:
    """Describes a `HuggingFaceModel` as written; without an `endpoint`, BentoML's default applies."""

    model_id: str
    revision: str = "main"
    endpoint: str | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Model:
    """Describes a model reference of a service.

    Attributes:
        attribute: the class attribute; empty for a legacy service's.
        tag: `name`, `name:version` or `name:latest`, in lower case as in BentoML; empty for Hugging Face, and if it is
            unknown.
        alias: `bentoml.models.get` looks for an alias of the Bento first; the tag is as written then.
        huggingface: the snapshot, for registry `huggingface`.

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
    """Describes a `bentoml.depends(…)`; `service` is the name of the service that it is on."""

    attribute: str
    service: str | None = None
    deployment: str | None = None
    cluster: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Api:
    """Describes one endpoint; `input_type` and `output_type` are a legacy service's descriptors."""

    name: str
    route: str
    is_task: bool = False
    batchable: bool = False
    is_stream: bool = False
    input_type: str | None = None
    output_type: str | None = None


@dataclass(frozen=True)
class Service:
    """Describes a service of the graph, as an entry of bento.yaml's `services`.

    `path` and `line` locate its class, `config` has what BentoML adds, `mounts` has the paths of
    applications, and all tuples are in BentoML's order.
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
    """Describes an environment variable; `value` is None if it is unknown."""

    name: str
    value: Json = ""
    stage: str = "all"


@dataclass(frozen=True)
class ImageCall:
    """Describes a call on a `bentoml.images.Image`."""

    method: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """Describes a `bentoml.images.Image`: the constructor's arguments by name, then the calls on it in order."""

    arguments: dict[str, Json] = field(default_factory=dict)
    calls: tuple[ImageCall, ...] = ()


@dataclass(frozen=True)
class Runner:
    """Describes a runner of a legacy service; `runnable_type` is its class."""

    name: str
    runnable_type: str
    embedded: bool = False
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServiceInfo:
    """Holds the metadata of a service for bento.yaml.

    Attributes:
        service: bento.yaml's `service`: `module:attr`.
        path: the service module's file in src/.
        kind: `new` for `@bentoml.service`, `legacy` for `bentoml.legacy.Service`.
        bento_name: the default name of the Bento; None if the whole service is unknown.
        entry_service: the entry service's own name; None if the whole service is unknown.
        services: entry first, in the order BentoML writes; empty for a legacy service.
        labels: of the entry service, as are `envs`, `description`, and `image`; without those that are unknown.
        models: a legacy service's own and its runners' models, as are `runners` and `apis`.
        unknowns: values that the source does not state as constants, in the order of the services.

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
    """Return the metadata as values of JSON; `from_json` is the inverse."""
    return asdict(info)


def from_json(data: dict[str, Any]) -> ServiceInfo:
    """Read the result of `to_json`, after any trip through JSON. Raises TypeError for anything else."""
    return ServiceInfo(**_fields(data))


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _value(value, _CLASSES.get(key)) for key, value in row.items()}


def _value(value: Any, of: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_value(each, of) for each in value)
    return of(**_fields(value)) if of and isinstance(value, dict) else value
