"""The facts of a service as frozen values, and their JSON form.

Shapes follow bento.yaml of BentoML 1.4 (`services`, `labels`, `envs`, `schema.routes`, and `runners`,
`apis` of a legacy service), so that writing the file is renaming and no thinking.
"""

from __future__ import annotations

from rules_bento.dataclasses_lite import asdict, dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any, Literal, TypeAlias

    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


@dataclass(frozen=True)
class SourceTree:
    """Reads files of a Bento's src/ only when they are needed.

    Attributes:
        paths: every file's path, relative, with `/`.
        read: gives the bytes of one of them.

    """

    paths: Collection[str]
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class Unknown:
    """Describes a fact that the source does not state plainly.

    Attributes:
        what: the fact and the reason, as a clause: "the name of service `Svc`: `os.environ` …".
        path: file in src/.
        line: line in it, from 1.
        attribute: the kind of statement that answers it (a key of `ways`); empty where none does.
        fact: which fact, for machines: `service` (all of it), `name`, `members` (whether there are more
            dependencies, models, APIs), `members.x` (whether attribute `x` is one), `dependencies.x`,
            `models.x`, `apis.x.route`, `paths` (of mounted applications), `config.traffic.timeout`, `labels`,
            `labels.team`, `envs`, `envs.HOME`, `description`, `doc`, `image`, `runners`.
        service: the name (or the class) of the service that it belongs to.
        required: BentoML would write something of it into the Bento.

    """

    what: str
    path: str
    line: int
    attribute: str
    fact: str
    service: str
    required: bool


@dataclass(frozen=True)
class HuggingFace:
    """Describes a `HuggingFaceModel` as written; without an `endpoint` it is at BentoML's default hub."""

    model_id: str
    revision: str = "main"
    endpoint: str | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Model:
    """Describes a model reference of a service.

    Attributes:
        attribute: the class attribute that holds it; empty for a legacy service's.
        tag: `name`, `name:version` or `name:latest`, lower-cased as BentoML does; empty for Hugging Face.
        alias: it came through `bentoml.models.get`, which looks for an alias of the Bento first; the tag is as
            written then.
        computed: the source computes the tag, which is empty then.
        huggingface: the snapshot, for registry `huggingface`.

    """

    attribute: str
    tag: str
    alias: bool = False
    computed: bool = False
    huggingface: HuggingFace | None = None

    @property
    def registry(self) -> str:
        """The model's registry in bento.yaml: `bentoml` or `huggingface`."""
        return "huggingface" if self.huggingface else "bentoml"


@dataclass(frozen=True)
class Dependency:
    """Describes a `bentoml.depends(…)`; `service` is the name of the service that is depended on."""

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
class Mount:
    """Describes an ASGI or WSGI application; `routes` are its full paths where its source lists them plainly."""

    path: str
    name: str | None
    kind: Literal["asgi", "wsgi"]
    routes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Service:
    """Describes a service of the graph, as an entry of bento.yaml's `services`.

    Attributes:
        name: exactly what the running service is called; None where it is not plain.
        class_name: the class behind it; the variable where the class is not plain.
        path: the file that defines it.
        line: the line of its class or call.
        models: in BentoML's order, repeated as the class repeats them.
        dependencies: in BentoML's order; the ones that could not be read have no field set.
        config: the decorator's keyword arguments with what BentoML adds.
        apis: in BentoML's order.
        mounts: in the order of mounting.
        doc: the class's docstring, the `description` of the schema.

    """

    name: str | None
    class_name: str
    path: str
    line: int
    models: tuple[Model, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    config: dict[str, Json] = field(default_factory=dict)
    apis: tuple[Api, ...] = ()
    mounts: tuple[Mount, ...] = ()
    doc: str | None = None


@dataclass(frozen=True)
class Env:
    """Describes an environment variable; `value` is None where the source computes it."""

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
    """Describes a runner of a legacy service.

    Attributes:
        runnable_type: the name of the class that runs.
        framework: whose `get` finds the model, where the class is the framework's: `sklearn` of `bentoml.sklearn.get`.

    """

    name: str
    runnable_type: str
    embedded: bool = False
    models: tuple[str, ...] = ()
    framework: str = ""


@dataclass(frozen=True)
class ServiceInfo:
    """Holds what bento.yaml needs to know of a service.

    Attributes:
        service: bento.yaml's `service`: `module:attr`.
        path: the service module's file in src/.
        kind: `new` for `@bentoml.service`, `legacy` for `bentoml.legacy.Service`; `new` where all is unknown.
        bento_name: the default name of the Bento; None where it is not plain.
        entry_service: the entry service's own name; None where it is not plain.
        services: entry first, in the order BentoML writes; empty for a legacy service.
        labels: of the entry service, as strings; a key whose value is not plain is missing here.
        envs: of the entry service.
        description: of the entry service.
        image: of the entry service; None where it has none or it is not plain (see `unknowns`).
        models: a legacy service's own and its runners' models.
        runners: of a legacy service.
        apis: of a legacy service.
        unknowns: what the source does not state plainly, in the order of the services.

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


def to_json(info: ServiceInfo) -> dict[str, Any]:
    """Return the facts as what `json.dumps` takes; `from_json` is the way back."""
    return asdict(info)


def from_json(data: dict[str, Any]) -> ServiceInfo:
    """Read what `to_json` gave, after any trip through JSON.

    Raises:
        KeyError, TypeError: it is not what `to_json` gave.

    """
    image = data["image"]
    rows: dict[str, Any] = {
        "services": tuple(_service(row) for row in data["services"]),
        "envs": tuple(Env(**row) for row in data["envs"]),
        "image": Image(image["arguments"], tuple(_call(row) for row in image["calls"])) if image else None,
        "models": tuple(_model(row) for row in data["models"]),
        "runners": tuple(Runner(**{**row, "models": tuple(row["models"])}) for row in data["runners"]),
        "apis": tuple(Api(**row) for row in data["apis"]),
        "unknowns": tuple(Unknown(**row) for row in data["unknowns"]),
    }
    return ServiceInfo(**{**data, **rows})


def _service(row: dict[str, Any]) -> Service:
    mounts = tuple(Mount(**{**mount, "routes": _tuple(mount["routes"])}) for mount in row["mounts"])
    rows: dict[str, Any] = {
        "models": tuple(_model(model) for model in row["models"]),
        "dependencies": tuple(Dependency(**dependency) for dependency in row["dependencies"]),
        "apis": tuple(Api(**api) for api in row["apis"]),
        "mounts": mounts,
    }
    return Service(**{**row, **rows})


def _model(row: dict[str, Any]) -> Model:
    source = row["huggingface"]
    if source is None:
        return Model(**row)
    lists = {"include": _tuple(source["include"]), "exclude": _tuple(source["exclude"])}
    return Model(**{**row, "huggingface": HuggingFace(**{**source, **lists})})


def _call(row: dict[str, Any]) -> ImageCall:
    return ImageCall(row["method"], tuple(row["args"]))


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
