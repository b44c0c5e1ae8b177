"""Collects the facts of a `bentoml.legacy.Service`: runners, models, APIs (bento.yaml's `spec: 1`)."""

from __future__ import annotations

from rules_bento.service.collect import Collector, NotPlainError
from rules_bento.service.metadata import Api, Model, Runner, ServiceInfo
from rules_bento.service.overrides import COMPUTED
from rules_bento.service.python.values import (
    Class,
    Const,
    LegacyService,
    ModelRef,
    Opaque,
    Place,
    RunnerObject,
    Sequence,
    Value,
)

# Framework to the name of the runnable class that BentoML 1.4 makes for it. Those of torch are all called `NewClass`.
RUNNABLES = {
    "catboost": "CatBoostRunnable",
    "detectron": "Detectron2Runnable",
    "diffusers": "DiffusersRunnable",
    "easyocr": "EasyOCRRunnable",
    "fastai": "FastAIRunnable",
    "flax": "FlaxRunnable",
    "keras": "KerasRunnable",
    "lightgbm": "LightGBMRunnable",
    "mlflow": "MLflowPyfuncRunnable",
    "onnx": "ONNXRunnable",
    "picklable_model": "PicklableRunnable",
    "pytorch": "NewClass",
    "pytorch_lightning": "NewClass",
    "sklearn": "SklearnRunnable",
    "tensorflow": "TensorflowRunnable",
    "torchscript": "NewClass",
    "transformers": "TransformersRunnable",
    "xgboost": "XGBoostRunnable",
}
# Their `get` is `bentoml.models.get`, which takes a model of any framework.
GET_ANY = {"catboost", "lightgbm", "mlflow", "sklearn", "xgboost"}


def legacy_info(collect: Collector, service: LegacyService, name: str, path: str) -> ServiceInfo:
    """Collect a legacy service."""
    collect.label(name.partition(":")[2])
    own = collect.text(service.name, "name", "the name of the legacy service", service.place, required=True)
    own = own.lower() if own is not None else None
    models = _models(collect, service.models, service.place)
    runners = []
    for runner in _items(collect, service.runners, "the runners", service.place):
        facts = _runner(collect, runner, service.place)
        if facts is not None:
            runners.append(facts[0])
            models += facts[1]
    apis = [_api(collect, fields, service.place) for fields in service.apis]
    if service.spoiled:
        collect.unknown("apis", "the APIs of the legacy service", service.spoiled, required=True)
    return ServiceInfo(
        service=name,
        path=path,
        kind="legacy",
        bento_name=own,
        entry_service=own,
        models=tuple(dict.fromkeys(models)),
        runners=tuple(runners),
        apis=tuple(api for api in apis if api is not None),
        unknowns=tuple(collect.unknowns),
    )


def _items(collect: Collector, value: Value, what: str, place: Place, attribute: str = "") -> list[Value]:
    """Return the items of a list of models or runners; an unknown where it is not plain."""
    value = collect.reader.force(value)
    if isinstance(value, Const) and value.value is None:
        return []
    if isinstance(value, Sequence) and not value.spoiled:
        return [collect.reader.force(item) for item in value.items]
    reason = value if isinstance(value, Opaque) else getattr(value, "spoiled", None)
    reason = reason or Opaque("it is no list", place)
    fact = attribute or "runners"
    collect.unknown(fact, f"{what} of the legacy service", reason, attribute, required=True)
    return []


def _models(collect: Collector, value: Value, place: Place) -> list[Model]:
    models: list[Model] = []
    for item in _items(collect, value, "the models", place, "models"):
        if isinstance(item, ModelRef):
            model = collect.model(item, "")
            models += [model] if model else []
        else:
            reason = item if isinstance(item, Opaque) else Opaque("it is no model", place)
            collect.unknown("models", "a model of the legacy service", reason, "models", required=True)
    return models


def _runner(collect: Collector, value: Value, place: Place) -> tuple[Runner, list[Model]] | None:
    if not isinstance(value, RunnerObject):
        reason = value if isinstance(value, Opaque) else Opaque("it is no runner", place)
        collect.unknown("runners", "a runner of the legacy service", reason, required=True)
        return None
    models = _models(collect, value.fields.get("models", Const(None)), value.place)
    kind, framework = _runnable(collect, value)
    name = collect.text(value.fields.get("name"), "runners", "the name of a runner", value.place, required=True)
    if not name and models and models[0].computed and "runnable_class" not in value.fields:
        reason = Opaque("it is that of its model, which the source computes", value.place)
        collect.unknown("runners", "the name of a runner", reason, required=True)
    if not name:
        name = models[0].tag.partition(":")[0] if "runnable_class" not in value.fields and models else kind.lower()
    embedded = False
    try:
        embedded = bool(collect.plain(value.fields.get("embedded", Const(False)), value.place))
    except NotPlainError as error:
        collect.unknown("runners", f"`embedded` of runner `{name}`", error.reason, required=True)
    variable = collect.label_of_service
    tags = tuple(f"{COMPUTED}{variable}.{model.attribute}" if model.computed else model.tag for model in models)
    return Runner(name.lower(), kind, embedded, tags, framework), models


def _runnable(collect: Collector, runner: RunnerObject) -> tuple[str, str]:
    """Return the class that runs, and the framework that it is of; none for a class of the project's own."""
    of = collect.reader.force(runner.fields.get("runnable_class", Const(None)))
    if isinstance(of, Class):
        return of.name, ""
    models = runner.fields.get("models")
    first = models.items[0] if isinstance(models, Sequence) and models.items else None
    framework = first.framework if isinstance(first, ModelRef) else ""
    kind = RUNNABLES.get(framework, "")
    if not kind:
        why = "the framework behind its model decides it"
        collect.unknown("runners", "the class of a runner", Opaque(why, runner.place))
    return kind, framework


def _api(collect: Collector, fields: dict[str, Value], place: Place) -> Api | None:
    name = collect.text(fields.get("name"), "apis", "the name of an API", place, required=True)
    if name is None:
        return None
    route = collect.text(fields.get("route"), f"apis.{name}.route", f"the route of API `{name}`", place)
    kinds = []
    for side in ("input", "output"):
        value = collect.reader.force(fields.get(side, Const(None)))
        kind = _descriptor(value)
        if kind is None:
            reason = value if isinstance(value, Opaque) else Opaque("it is no descriptor", place)
            collect.unknown(f"apis.{name}.{side}_type", f"the {side} of API `{name}`", reason, required=True)
        kinds.append(kind)
    return Api(name, route if route is not None else name, input_type=kinds[0], output_type=kinds[1])


def _descriptor(value: Value) -> str | None:
    """Return the class name of `bentoml.io.JSON(…)` or `bentoml.io.NumpyNdarray.from_sample(…)`."""
    origin = value.origin if isinstance(value, Opaque) else ""
    if not origin.startswith("bentoml.io."):
        return None
    name = origin.split(".")[2]
    return "BytesIOFile" if name == "File" else name  # the class that `bentoml.io.File(…)` makes
