"""Turns what was read into the facts of bento.yaml, and into `Unknown`s what was not plain."""

from __future__ import annotations

import math

from rules_bento.errors import BentoError
from rules_bento.service.bentoml.asgi import MOUNTED, joined_path
from rules_bento.service.metadata import (
    Api,
    Dependency,
    Env,
    HuggingFace,
    Image,
    ImageCall,
    Model,
    Mount,
    Service,
    ServiceInfo,
    Unknown,
)
from rules_bento.service.overrides import bento_name_of
from rules_bento.service.python.budget import spend
from rules_bento.service.python.values import (
    AsgiApp,
    AsgiRoute,
    Class,
    Const,
    DependsOn,
    Dict,
    Endpoint,
    Function,
    ImageSpec,
    ModelRef,
    Mounted,
    Opaque,
    Place,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.metadata import Json
    from rules_bento.service.python.interpreter import Interpreter

# BentoML reads it where a `HuggingFaceModel` is made without an `endpoint`.
_HUB_VARIABLE = b"HF_ENDPOINT"
_CHAT = "/chat/completions"
# What BentoML takes of a variable of the image, and where it is one.
_ENV = ("name", "value", "stage")
_STAGES = ("all", "build", "runtime")
_MAX_NUMBER = 1 << 64


class NotPlainError(Exception):
    """Reports a value that has no plain form; `reason` says why and where."""

    def __init__(self, reason: Opaque) -> None:
        super().__init__(reason.why)
        self.reason = reason


class Collector:
    """Collects the facts and unknowns of services, one after the other."""

    def __init__(self, reader: Interpreter) -> None:
        self.reader = reader
        self.unknowns: list[Unknown] = []
        self._label = ""
        self._unnamed = 0

    # Values

    def plain(self, value: Value, place: Place) -> Json:
        """Return a value as JSON would hold it.

        Raises:
            NotPlainError: a part of it is not plain.

        """
        try:
            return self._plain(value, place)
        except RecursionError:
            raise NotPlainError(Opaque("it holds itself, or is nested too deeply", place)) from None

    def _plain(self, value: Value, place: Place) -> Json:
        spend(1)
        value = self.reader.force(value)
        match value:
            case Opaque():
                raise NotPlainError(Opaque(value.why or "only running the code tells it", value.place))
            case Symbol():
                raise NotPlainError(Opaque(f"`{value.dotted}` is outside the sources", place))
            case Sequence() | Dict() if value.spoiled:
                raise NotPlainError(value.spoiled)
            case Const(value=int() as number) if abs(number) > _MAX_NUMBER:
                raise NotPlainError(Opaque("it is a number of more than 64 bits", place))
            case Const(value=str() as text):
                return _whole(text, place)
            case Const(value=None | bool() | int() as inner):
                return inner
            case Const(value=float() as number) if math.isfinite(number):
                return number
            case Sequence(items=items) if value.kind != "set":
                return [self._plain(item, place) for item in items]
            case Dict(items=entries) if all(isinstance(key, str) for key in entries):
                return {_whole(str(key), place): self._plain(inner, place) for key, inner in entries.items()}
            case _:
                raise NotPlainError(Opaque("it is no plain text, number, list or dict", place))

    def unknown(self, fact: str, what: str, reason: Opaque, attribute: str = "", *, required: bool = False) -> None:
        """Note a fact that the source does not state plainly."""
        why = reason.why or "only running the code tells it"
        place = reason.place
        self.unknowns.append(Unknown(f"{what}: {why}", place.path, place.line, attribute, fact, self._label, required))

    def text(
        self,
        value: Value | None,
        fact: str,
        what: str,
        place: Place,
        attribute: str = "",
        *,
        required: bool = False,
    ) -> str | None:
        """Return a text, None (and an unknown) where it is not plain."""
        try:
            plain = self.plain(value, place) if value is not None else None
        except NotPlainError as error:
            self.unknown(fact, what, error.reason, attribute, required=required)
            return None
        if plain is not None and not isinstance(plain, str):
            self.unknown(fact, what, Opaque("it is no text", place), attribute, required=required)
            return None
        return plain

    @property
    def label_of_service(self) -> str:
        """The name of the service that is being collected, for unknowns."""
        return self._label

    def label(self, service: str) -> None:
        """Say which service the next unknowns belong to."""
        self._label = service

    # Services

    def _field(self, service: ServiceObject, name: str) -> Value:
        """Return an argument of the decorator, as it is when all has been read."""
        return service.spoiled or self.reader.force(service.fields.get(name, Const(None)))

    def name_of(self, service: ServiceObject) -> str | Opaque:
        """Return a service's name, or why it is not plain. Raises BentoError for half of a surrogate pair in it."""
        if service.spoiled:
            return service.spoiled
        value = self.reader.force(service.fields.get("name", Const(None)))
        if isinstance(value, Const) and not value.value:
            inner = self.reader.force(service.inner)
            if isinstance(inner, Class) and not inner.spoiled:
                return inner.name
            if isinstance(inner, Class) and inner.spoiled:
                return inner.spoiled
            return Opaque(getattr(inner, "why", "") or "its class is not plain", service.place)
        if isinstance(value, Const) and isinstance(value.value, str):
            return _whole(value.value, service.place)
        if isinstance(value, Symbol):
            return Opaque(f"`{value.dotted}` is outside the sources", service.place)
        return value if isinstance(value, Opaque) else Opaque("it is no text", service.place)

    def service(self, service: ServiceObject) -> Service:
        """Collect one service of the graph."""
        name = self.name_of(service)
        inner = self.reader.force(service.inner)
        class_name = inner.name if isinstance(inner, Class) else service.variable or "a service"
        self._label = name if isinstance(name, str) else class_name
        if isinstance(name, Opaque):
            self.unknown("name", f"the name of service `{class_name}`", name, "services", required=True)
        if service.uncertain:
            self.unknown(
                "service", f"whether `{self._label}` is a service", service.uncertain, "services", required=True
            )
        if service.spoiled:
            what = self._what("the dependencies and models")
            self.unknown("members", what, service.spoiled, "members", required=True)
        for reason in service.open_ended:
            what = self._what("whether there are more dependencies, models or APIs")
            self.unknown("members", what, reason, "members", required=True)
        models, dependencies, apis = self._members(service)
        return Service(
            name if isinstance(name, str) else None,
            class_name,
            service.place.path,
            service.place.line,
            tuple(models),
            tuple(dependencies),
            self._config(service),
            tuple(apis),
            tuple(self._mounts(service)),
            self.text(_doc(inner), "doc", self._what("the docstring"), service.place),
        )

    def _what(self, fact: str) -> str:
        return f"{fact} of service `{self._label}`"

    def _members(self, service: ServiceObject) -> tuple[list[Model], list[Dependency], list[Api]]:
        models: list[Model] = []
        dependencies: list[Dependency] = []
        apis: list[Api] = []
        for attribute, member in service.members.items():
            value = self.reader.force(member)
            match value:
                case ModelRef():
                    model = self.model(value, attribute)
                    models += [model] if model else []
                case DependsOn():
                    dependencies.append(self._dependency(value, attribute))
                case Endpoint():
                    apis.append(self._api(service, value, attribute))
                case Opaque() if attribute != MOUNTED and not value.inert:
                    what = self._what(f"whether attribute `{attribute}` is a dependency, a model or an API")
                    self.unknown(f"members.{attribute}", what, value, "members", required=True)
                case Opaque() if attribute != MOUNTED and not _is_standard(value):
                    what = self._what(f"attribute `{attribute}`, taken for no BentoML object,")
                    self.unknown(f"members.{attribute}", what, value, "members")
        return models, dependencies, apis

    def model(self, ref: ModelRef, attribute: str) -> Model | None:
        """Return a model reference, with an unknown if its tag is not plain; None for a computed Hugging Face one."""
        what = self._what(f"the model in `{attribute}`" if attribute else "a model")
        if ref.fields is not None:
            try:
                return Model(attribute, "", huggingface=self._huggingface(ref.fields, ref.place))
            except NotPlainError as error:
                self.unknown(f"models.{attribute}", what, error.reason, required=True)
                return None
        try:
            tag = self.plain(ref.tag, ref.place) if ref.tag else None
            if not isinstance(tag, str):
                raise NotPlainError(Opaque("its tag is no text", ref.place))
        except NotPlainError as error:
            self._unnamed += not attribute
            attribute = attribute or f"model{self._unnamed}"
            self.unknown(f"models.{attribute}", what, error.reason, "models", required=True)
            return Model(attribute, "", computed=True)
        return Model(attribute, tag if ref.stored else tag.lower(), alias=ref.stored)

    def _huggingface(self, fields: dict[str, Value], place: Place) -> HuggingFace:
        plain = {name: self.plain(value, place) for name, value in fields.items()}
        model_id, revision = plain.get("model_id"), plain.get("revision", "main")
        endpoint, lists = plain.get("endpoint"), {}
        for name in ("include", "exclude"):
            value = plain.get(name)
            if isinstance(value, list) and all(isinstance(item, str) for item in value):
                lists[name] = tuple(str(item) for item in value)
            elif value is not None:
                raise NotPlainError(Opaque(f"its `{name}` is no list of texts", place))
        if not isinstance(model_id, str) or not isinstance(revision, str):
            raise NotPlainError(Opaque("its `model_id` or `revision` is no text", place))
        if endpoint is not None and not isinstance(endpoint, str):
            raise NotPlainError(Opaque("its `endpoint` is no text", place))
        named = None if "endpoint" in plain else self.reader.sources.first_mention(_HUB_VARIABLE)
        if named:
            why = "its `endpoint` is not given, and is then what HF_ENDPOINT says, which this line may set"
            raise NotPlainError(Opaque(why, Place(*named)))
        return HuggingFace(model_id, revision, endpoint, lists.get("include"), lists.get("exclude"))

    def _dependency(self, value: DependsOn, attribute: str) -> Dependency:
        on = self.reader.force(value.fields.get("on", Const(None)))
        if all(_is_none(each) for each in (on, value.fields.get("deployment"), value.fields.get("url"))):
            raise BentoError(
                f"{value.place.path}:{value.place.line}: the dependency `{attribute}` is on nothing, which BentoML "
                "refuses. Give `bentoml.depends` a service, or the `url` or `deployment` of one."
            )
        service = None
        what = self._what(f"the dependency `{attribute}`")
        if isinstance(on, ServiceObject):
            name = self.name_of(on)
            service = name if isinstance(name, str) else None
        elif not isinstance(on, Const) or on.value is not None:
            reason = on if isinstance(on, Opaque) else Opaque(_no_service(on), value.place)
            self.unknown(f"dependencies.{attribute}", what, reason, "services", required=True)
        fields = {
            key: self.text(
                value.fields.get(key),
                f"dependencies.{attribute}.{key}",
                f"the {key} of {what}",
                value.place,
                required=True,
            )
            for key in ("deployment", "cluster", "url")
        }
        return Dependency(attribute, service, fields["deployment"], fields["cluster"], fields["url"])

    def _api(self, service: ServiceObject, api: Endpoint, attribute: str) -> Api:
        fact = f"apis.{attribute}"
        name = self.text(api.fields["name"], f"{fact}.name", self._what(f"the name of API `{attribute}`"), api.place)
        prefix = service.fields.get("path_prefix", Const(None))
        own = api.fields["route"]
        if isinstance(own, Const) and not (isinstance(own.value, str) and own.value.startswith("/")):
            raise BentoError(
                f"{api.place.path}:{api.place.line}: the route of API `{attribute}` is {own.value!r}, and BentoML "
                "takes one that begins with a slash. Correct it."
            )
        route = joined_path(prefix, own)
        plain = self.text(route, f"{fact}.route", self._what(f"the route of API `{attribute}`"), api.place)
        flags = {"batchable": api.fields.get("batchable", Const(False)), "is_stream": api.is_stream}
        known: dict[str, bool] = {}
        for key, value in flags.items():
            try:
                known[key] = bool(self.plain(value, api.place))
            except NotPlainError as error:
                self.unknown(f"{fact}.{key}", self._what(f"`{key}` of API `{attribute}`"), error.reason)
        return Api(
            name if name is not None else attribute,
            plain if plain is not None else "",
            api.is_task,
            known.get("batchable", False),
            known.get("is_stream", False),
        )

    def _config(self, service: ServiceObject) -> dict[str, Json]:
        if service.config.spoiled or service.spoiled:
            reason = service.config.spoiled or service.spoiled or _NEVER
            self.unknown("config", self._what("the configuration"), reason, "config", required=True)
            return {}
        try:
            return self._entries(service.config, "config", service.place)
        except RecursionError:
            reason = Opaque("it holds itself, or is nested too deeply", service.place)
            self.unknown("config", self._what("the configuration"), reason, "config", required=True)
            return {}

    def _entries(self, entries: Dict, fact: str, place: Place) -> dict[str, Json]:
        """Return a dict's plain entries; the others become unknowns, each under its own path."""
        result: dict[str, Json] = {}
        for key, entry in entries.items.items():
            value = self.reader.force(entry)
            _whole(str(key), place)
            if not isinstance(key, str):
                reason = Opaque("it has a key that is no text", place)
                self.unknown(f"{fact}.{key}", self._what(f"`{fact}`"), reason, required=True)
            elif isinstance(value, Dict) and not value.spoiled:
                result[key] = self._entries(value, f"{fact}.{key}", place)
            else:
                try:
                    result[key] = self.plain(value, place)
                except NotPlainError as error:
                    self.unknown(f"{fact}.{key}", self._what(f"`{fact}.{key}`"), error.reason, "config", required=True)
        return result

    def _mounts(self, service: ServiceObject) -> list[Mount]:
        mounts: list[Mount] = []
        for value in service.mounts:
            if not isinstance(value, Mounted):
                reason = value if isinstance(value, Opaque) else Opaque("it is not plain", service.place)
                self.unknown("paths", self._what("the mounted applications"), reason)
                continue
            path = self.text(value.path, "paths", self._what("the path of a mounted application"), value.place)
            name = self.text(value.name, "paths", self._what("the name of a mounted application"), value.place)
            if path is None:
                continue
            routes = self._routes(value, path) if value.kind == "asgi" else ()
            mounts.append(Mount(path, name, "wsgi" if value.kind == "wsgi" else "asgi", routes))
        return mounts

    def _routes(self, mount: Mounted, path: str) -> tuple[str, ...] | None:
        routes: list[str] = []
        try:
            self._walk(self.reader.force(mount.app), path, routes, [])
        except NotPlainError as error:
            self.unknown("paths", self._what(f"the routes of the application at `{path}`"), error.reason)
            return None
        return tuple(dict.fromkeys(routes))

    def _walk(self, app: Value, prefix: str, routes: list[str], seen: list[Value]) -> None:
        if any(app is other for other in seen):
            return
        seen.append(app)
        if isinstance(app, (Function, Const)):
            return  # a plain ASGI callable lists no routes
        if not isinstance(app, AsgiApp) or app.spoiled:
            reason = app if isinstance(app, Opaque) else getattr(app, "spoiled", None)
            raise NotPlainError(reason or Opaque("the application is not plain", seen_place(app)))
        for entry in app.routes:
            route = self.reader.force(entry)
            if not isinstance(route, AsgiRoute):
                raise NotPlainError(route if isinstance(route, Opaque) else Opaque("a route is not plain", app.place))
            path = self.plain(joined_path(Const(prefix), self.reader.force(route.path)), app.place)
            if not isinstance(path, str):
                raise NotPlainError(Opaque("a route is no text", app.place))
            routes.append(path)
            if route.app is not None:
                self._walk(self.reader.force(route.app), path, routes, seen)

    # The entry service's own

    def info(self, entry: ServiceObject, service: str, path: str) -> ServiceInfo:
        """Collect the whole graph under an entry service.

        Raises:
            BentoError: two services of the graph have one name.

        """
        graph = self._graph(entry)
        services = tuple(self.service(one) for one in graph)
        self._label = services[0].name or services[0].class_name
        labels = self._labels(entry, services[0])
        for one in graph:
            self._check_envs(one)
        name = services[0].name
        return ServiceInfo(
            service=service,
            path=path,
            kind="new",
            bento_name=None if name is None else bento_name_of(name),
            entry_service=name,
            services=services,
            labels=labels,
            envs=self._envs(entry),
            description=self.text(
                self._field(entry, "description"),
                "description",
                self._what("the description"),
                entry.place,
                "description",
                required=True,
            ),
            image=self.image(entry),
            unknowns=tuple(self.unknowns),
        )

    def _graph(self, entry: ServiceObject) -> list[ServiceObject]:
        """Return the services in the order of BentoML's `all_services`: itself, then each dependency's."""
        order: list[ServiceObject] = []
        stack: list[ServiceObject] = [entry]
        while stack:
            service = stack.pop()
            if any(service is other for other in order):
                continue
            order.append(service)
            below = []
            for member in service.members.values():
                value = self.reader.force(member)
                if isinstance(value, DependsOn):
                    on = self.reader.force(value.fields.get("on", Const(None)))
                    below += [on] if isinstance(on, ServiceObject) else []
            stack += reversed(below)
        self._refuse_twins(order)
        return order

    def _refuse_twins(self, services: list[ServiceObject]) -> None:
        named: dict[str, ServiceObject] = {}
        for service in services:
            name = self.name_of(service)
            if not isinstance(name, str):
                continue
            if name in named:
                first = named[name].place
                raise BentoError(
                    f"{service.place.path}:{service.place.line}: a second service named `{name}` is among the "
                    f"dependencies; the first is at {first.path}:{first.line}. "
                    "Give one of them another `name` in `@bentoml.service`."
                )
            named[name] = service

    def _labels(self, entry: ServiceObject, service: Service) -> dict[str, str]:
        labels: dict[str, str] = {}
        value = self._field(entry, "labels")
        if isinstance(value, Dict) and not value.spoiled:
            labels = self._labelled(value, entry.place)
        elif not isinstance(value, Const):
            reason = value if isinstance(value, Opaque) else getattr(value, "spoiled", None)
            reason = reason or Opaque("it is no dict", entry.place)
            self.unknown("labels", self._what("the labels"), reason, "labels", required=True)
        self._require_openai(service)
        return {**labels, **self._openai(service)}

    def _labelled(self, value: Dict, place: Place) -> dict[str, str]:
        labels: dict[str, str] = {}
        for key, inner in value.items.items():
            _whole(str(key), place)
            try:
                plain = self.plain(inner, place)
            except NotPlainError as error:
                self.unknown(f"labels.{key!s}", self._what(f"label `{key!s}`"), error.reason, "labels", required=True)
                continue
            labels[str(key)] = str(plain)
        return labels

    def _openai(self, service: Service) -> dict[str, str]:
        """Return the label that BentoML adds for an endpoint of the OpenAI kind."""
        mounted = [path for mount in service.mounts for path in mount.routes or ()]
        for path in [*(api.route for api in service.apis), *mounted]:
            if path.endswith(_CHAT):
                return {"openai_endpoint": path.removesuffix(_CHAT)}
        return {}

    def _require_openai(self, service: Service) -> None:
        """Note that the label of an endpoint of the OpenAI kind is open where a path that was not read may make it."""
        own = [one for one in self.unknowns if one.service == self._label]
        in_api = any(api.route.endswith(_CHAT) for api in service.apis)
        for one in own:
            route = one.fact.startswith("apis.") and one.fact.endswith(".route")
            if route or (one.fact == "paths" and not in_api) or one.fact == "members":
                reason = Opaque(f"whether a path ends in `{_CHAT}` is not plain", Place(one.path, one.line))
                what = self._what("label `openai_endpoint`")
                self.unknown("labels.openai_endpoint", what, reason, "labels", required=True)
                return

    def _check_envs(self, service: ServiceObject) -> None:
        """Refuse variables at which BentoML's import fails, wherever in the graph they are."""
        value = self._field(service, "envs")
        name, place = self.name_of(service), f"{service.place.path}:{service.place.line}"
        of = f"of service `{name}`" if isinstance(name, str) else "of this service"
        for item in value.items if isinstance(value, Sequence) and not value.spoiled else ():
            env = self.reader.force(item)
            if isinstance(env, (Const, Sequence)):
                given = repr(env.value) if isinstance(env, Const) else "a list"
                remedy = "such as {'name': 'A', 'value': '1'}"
                raise BentoError(f"{place}: one of the envs {of} is {given}, where BentoML takes a dict, {remedy}.")
            if not isinstance(env, Dict) or env.spoiled:
                continue
            foreign = [str(key) for key in env.items if key not in _ENV]
            stage = env.items.get("stage", Const(_STAGES[0]))
            if foreign:
                raise BentoError(
                    f"{place}: an env {of} has `{foreign[0]}`, which BentoML does not take. It takes {', '.join(_ENV)}."
                )
            if isinstance(stage, Const) and stage.value not in _STAGES:
                raise BentoError(
                    f"{place}: the stage of an env {of} is {stage.value!r}, and BentoML takes {', '.join(_STAGES)}."
                )

    def _envs(self, entry: ServiceObject) -> tuple[Env, ...]:
        value = self._field(entry, "envs")
        if isinstance(value, Const) and not value.value:
            return ()
        if not isinstance(value, Sequence) or value.spoiled:
            reason = value if isinstance(value, Opaque) else getattr(value, "spoiled", None)
            reason = reason or Opaque("it is no list", entry.place)
            self.unknown("envs", self._what("the envs"), reason, "envs", required=True)
            return ()
        envs: list[Env] = []
        for item in value.items:
            env = self._env(self.reader.force(item), entry.place)
            envs += [env] if env else []
        return tuple(envs)

    def _env(self, value: Value, place: Place) -> Env | None:
        name = value.items.get("name") if isinstance(value, Dict) and not value.spoiled else None
        plain = self.text(name or value, "envs", self._what("an env"), place, "envs", required=True)
        if plain is None or not isinstance(value, Dict):
            return None
        fields: dict[str, Json] = {"value": "", "stage": "all"}
        for key in fields:
            if key not in value.items:
                continue
            try:
                fields[key] = self.plain(value.items[key], place)
            except NotPlainError as error:
                fields[key] = None
                what = self._what(f"`{key}` of env `{plain}`")
                self.unknown(f"envs.{plain}", what, error.reason, "envs", required=True)
        return Env(plain, fields["value"], str(fields["stage"] or "all"))

    def image(self, entry: ServiceObject) -> Image | None:
        """Return the image that the entry service asks for."""
        value = self._field(entry, "image")
        if isinstance(value, Const) and value.value is None:
            return None
        what = self._what("the image")
        if not isinstance(value, ImageSpec) or value.spoiled:
            reason = value if isinstance(value, Opaque) else getattr(value, "spoiled", None)
            reason = reason or Opaque("it is no `Image`", entry.place)
            self.unknown("image", what, reason, "image", required=True)
            return None
        try:
            arguments = {name: self.plain(inner, value.place) for name, inner in value.arguments.items()}
            calls = tuple(
                ImageCall(method, tuple(str(self.plain(arg, value.place)) for arg in args))
                for method, args in value.calls
            )
        except NotPlainError as error:
            self.unknown("image", what, error.reason, "image", required=True)
            return None
        return Image(arguments, calls)


_NEVER = Opaque("only running the code tells it", Place("", 1))


def _is_none(value: Value | None) -> bool:
    return value is None or (isinstance(value, Const) and value.value is None)


def _whole(text: str, place: Place) -> str:
    """Return a text that documents can hold. Raises BentoError for half of a surrogate pair, which none can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BentoError(
            f"{place.path}:{place.line}: {text!a} of this service has half of a surrogate pair. Write the character."
        ) from None
    return text


def _no_service(value: Value) -> str:
    """Say why something that a service depends on cannot be followed."""
    if isinstance(value, Symbol):
        return f"`{value.dotted}` is outside the sources"
    return "it is on something that is no service, which BentoML refuses"


def _is_standard(value: Opaque) -> bool:
    """Return whether a value comes from no library outside the sources and the standard one."""
    from rules_bento.service.python.sources import in_standard_library

    return not value.origin or value.origin.startswith("bentoml.") or in_standard_library(value.origin)


def _doc(inner: Value) -> Value | None:
    return inner.attributes.get("__doc__") if isinstance(inner, Class) else None


def seen_place(value: Value) -> Place:
    """Return the place that a value carries."""
    place = getattr(value, "place", None)
    return place if isinstance(place, Place) else Place("", 1)
