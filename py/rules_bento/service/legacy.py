"""Reads `bentoml.legacy.Service`: runners, models, APIs (bento.yaml's `spec: 1`)."""

from __future__ import annotations

import ast
import re

from rules_bento.errors import BentoError
from rules_bento.service.bindings import CLASS, VALUE, Definition, NotConstantError, text_of
from rules_bento.service.constants import Scope
from rules_bento.service.metadata import Api, Model, Runner, ServiceInfo
from rules_bento.service.overrides import COMPUTED
from rules_bento.service.sdk_names import FRAMEWORKS, words
from rules_bento.service.services import OpenTag, ServiceReader, arguments_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
# Their `get` is `bentoml.models.get`, which accepts a model of any framework.
GET_ANY = {"catboost", "lightgbm", "mlflow", "sklearn", "xgboost"}
_HOOKS = words("add_asgi_middleware mount_asgi_app mount_wsgi_app on_deployment on_shutdown on_startup")
_NAME = re.compile(r"[A-Za-z_]\w*")


class LegacyReader:
    """Reads one legacy service."""

    def __init__(self, reader: ServiceReader, definition: Definition) -> None:
        assert definition.module is not None
        assert isinstance(definition.node, ast.Call)
        self.reader = reader
        self.constants = reader.constants
        self.definition = definition
        self.scope = Scope(definition.module)
        self.call = definition.node
        self.models: list[Model] = []
        self.unnamed = 0

    def info(self, service: str, path: str) -> ServiceInfo:
        """Return the metadata of the service. Raises BentoError if BentoML could not import it."""
        reader, place = self.reader, NotConstantError("", self.scope.module.path, self.call)
        reader.label = service.partition(":")[2]
        given = arguments_of(self.call, ["name"])
        if given is None:
            raise NotConstantError(f"`{text_of(self.call)}` isn't supported", self.scope.module.path, self.call)
        name = reader.text(
            self._value(given.get("name")), "name", "the name of the legacy service", place, required=True
        )
        own = self._models(given.get("models"))
        runners = self._list(given.get("runners"), "runners", "the runners", self._runner)
        names = [runner.name for runner in runners]
        for each in names:
            if names.count(each) > 1:
                raise BentoError(
                    f"{place.path}:{place.line}: two runners are named `{each}`, which BentoML rejects. Rename one."
                )
        apis = self._apis()
        bento = name.lower() if name is not None else None
        return ServiceInfo(
            service=service,
            path=path,
            kind="legacy",
            bento_name=bento,
            entry_service=bento,
            models=tuple(dict.fromkeys([*own, *self.models])),
            runners=tuple(runners),
            apis=tuple(apis),
            unknowns=tuple(reader.unknowns),
        )

    def _value(self, node: ast.expr | None) -> Any:
        try:
            return self.constants.whole(self.scope, node) if node is not None else None
        except NotConstantError as error:
            return error

    def _resolved(self, node: ast.expr) -> ast.expr:
        """Return the expression behind a name. Raises NotConstantError if code may change its value."""
        if not isinstance(node, (ast.Name, ast.Attribute)) or self.reader.names.outside(self.scope.module, node):
            return node
        definition = self.reader.names.resolve(self.scope.module, node)
        if (
            definition.kind != VALUE
            or definition.module is not self.scope.module
            or not isinstance(definition.node, ast.expr)
        ):
            raise NotConstantError(f"`{text_of(node)}` isn't supported there", self.scope.module.path, node)
        for by, mention in self.constants.code.mentions.get(definition.key, ()):
            around = self.constants.code.parent(mention)
            changed = isinstance(around, (ast.Attribute, ast.Subscript)) and not isinstance(around.ctx, ast.Load)
            method = isinstance(around, ast.Attribute) and isinstance(definition.node, ast.List)
            if changed or method or by is not self.scope.module or isinstance(around, ast.AugAssign):
                raise NotConstantError(f"`{definition.name}` may be changed", by.path, mention)
        return definition.node

    def _list(self, node: ast.expr | None, fact: str, what: str, read: Any) -> list[Any]:
        items: list[Any] = []
        try:
            listed = self._resolved(node) if node is not None else ast.List([])
            if isinstance(listed, ast.Constant) and listed.value is None:
                return []
            if not isinstance(listed, (ast.List, ast.Tuple)):
                raise NotConstantError(
                    f"`{text_of(listed)}` isn't a list that is written out", self.scope.module.path, listed
                )
            for each in listed.elts:
                items.append(read(each))  # noqa: PERF401 - those before one that isn't constant stay
        except NotConstantError as error:
            attribute = "models" if fact == "models" else ""
            self.reader.unknown(fact, f"{what} of the legacy service", error, attribute, required=True)
        return items

    # Models and runners

    def _models(self, node: ast.expr | None) -> list[Model]:
        return self._list(node, "models", "the models", self._model)

    def _called(self, node: ast.expr) -> tuple[ast.Call, str]:
        call = self._resolved(node)
        name = self.reader.names.outside(self.scope.module, call.func) if isinstance(call, ast.Call) else None
        if not isinstance(call, ast.Call):
            raise NotConstantError(f"`{text_of(node)}` isn't supported there", self.scope.module.path, node)
        return call, name or ""

    def _model(self, node: ast.expr) -> Model:
        call, name = self._called(node)
        if not self.reader.is_model(name):
            raise NotConstantError(f"`{text_of(node)}` isn't a model", self.scope.module.path, node)
        model = self.reader.model(self.scope, call, name)
        if isinstance(model, OpenTag) and model.is_snapshot:
            raise model.error
        if isinstance(model, OpenTag):
            self.unnamed += 1
            attribute = f"model{self.unnamed}"
            what = f"a model of service `{self.reader.label}`"
            self.reader.unknown(f"models.{attribute}", what, model.error, "models", required=True)
            return Model(attribute, "", computed=True)
        return model

    def _runner(self, node: ast.expr) -> Runner:
        call, name = self._called(node)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "to_runner" and not name:
            return self._of_model(call, call.func.value)
        names = {"bentoml.legacy.Runner": ["runnable_class"], "bentoml.triton.Runner": ["name", "model_repository"]}
        given = arguments_of(call, names[name]) if name in names else None
        if given is None and name == "bentoml.legacy.Runner" and len(call.args) > 1:
            raise BentoError(
                f"{self.scope.module.path}:{call.lineno}: `bentoml.Runner` has arguments by position, which BentoML "
                "rejects after the first. Write them by keyword."
            )
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't a supported runner", self.scope.module.path, call)
        models = self._models(given.get("models"))
        self.models += models
        kind = "_TritonRunner"
        if name == "bentoml.legacy.Runner":
            of = (
                self.reader.names.resolve(self.scope.module, given["runnable_class"])
                if "runnable_class" in given
                else None
            )
            if of is None or of.kind != CLASS:
                raise NotConstantError("its class isn't a class of the sources", self.scope.module.path, call)
            kind = of.name
        return self._made(call, given, models, kind, "")

    def _of_model(self, call: ast.Call, of: ast.expr) -> Runner:
        """Return the runner of `bentoml.<framework>.get("tag").to_runner()`."""
        made, name = self._called(of)
        given = arguments_of(call, ["name"])
        model = self._model(of)
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", self.scope.module.path, call)
        self.models.append(model)
        module = name.removeprefix("bentoml.").rpartition(".")[0]
        framework = module if module in FRAMEWORKS else ""
        kind = RUNNABLES.get(framework, "")
        if not kind:
            error = NotConstantError("the framework of its model decides it", self.scope.module.path, made)
            self.reader.unknown("runners", "the class of a runner", error)
        return self._made(call, given, [model], kind, framework)

    def _made(
        self, call: ast.Call, given: dict[str, ast.expr], models: list[Model], kind: str, framework: str
    ) -> Runner:
        place = NotConstantError("", self.scope.module.path, call)
        name = self.reader.text(self._value(given.get("name")), "runners", "the name of a runner", place, required=True)
        if not name and "runnable_class" not in given and models and models[0].computed:
            why = "it is that of its model, which isn't constant"
            self.reader.unknown(
                "runners", "the name of a runner", NotConstantError(why, place.path, place.line), required=True
            )
        if not name:
            name = models[0].tag.partition(":")[0] if "runnable_class" not in given and models else kind.lower()
        embedded = self._value(given.get("embedded"))
        if isinstance(embedded, NotConstantError):
            self.reader.unknown("runners", f"`embedded` of runner `{name}`", embedded, required=True)
            embedded = False
        variable = self.reader.label
        tags = tuple(f"{COMPUTED}{variable}.{model.attribute}" if model.computed else model.tag for model in models)
        return Runner(name.lower(), kind, bool(embedded), tags, framework)

    # APIs

    def _apis(self) -> list[Api]:
        """Return the APIs that `@svc.api(…)` defines; notes any other use of the service."""
        code, apis = self.constants.code, []
        try:
            for by, mention in code.mentions.get(self.definition.key, ()):
                around = code.parent(mention)
                call = code.parent(around) if around is not None else None
                if isinstance(mention, ast.Name) and isinstance(mention.ctx, ast.Store):
                    continue
                outer = code.parent(call) if call is not None else None
                method = around.attr if isinstance(around, ast.Attribute) and isinstance(around.ctx, ast.Load) else ""
                function = outer if isinstance(call, ast.Call) else call
                plain = by is self.scope.module and function is not None and code.parent(function) is None
                if (
                    plain
                    and method == "api"
                    and isinstance(call, ast.Call)
                    and isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef))
                ):
                    if call is not outer.decorator_list[-1]:
                        raise NotConstantError("another decorator is applied to an API", by.path, call)
                    apis.append((mention.lineno, call, outer))
                elif not (plain and method in _HOOKS):
                    raise NotConstantError(f"`{self.definition.name}` may be changed", by.path, mention)
            return self._named(
                [self._api(call, function) for _, call, function in sorted(apis, key=lambda each: each[0])]
            )
        except NotConstantError as error:
            self.reader.unknown("apis", "the APIs of the legacy service", error, required=True)
            return []

    def _named(self, apis: list[tuple[Api, int]]) -> list[Api]:
        seen: set[str] = set()
        for api, line in apis:
            place = f"{self.scope.module.path}:{line}"
            if not _NAME.fullmatch(api.name):
                raise BentoError(
                    f"{place}: API name {api.name!r} isn't a Python name, which BentoML requires. Rename it."
                )
            if api.name in seen:
                raise BentoError(f"{place}: API `{api.name}` is defined twice, which BentoML rejects. Rename one.")
            seen.add(api.name)
        return [api for api, _ in apis]

    def _api(self, call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[Api, int]:
        given = arguments_of(call, ["input", "output"])
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", self.scope.module.path, call)
        place = NotConstantError("", self.scope.module.path, call)
        name = self.constants.whole(self.scope, given["name"]) if "name" in given else None
        route = self.reader.text(
            self._value(given.get("route")), f"apis.{function.name}.route", f"the route of API `{function.name}`", place
        )
        if name is not None and not isinstance(name, str):
            raise NotConstantError("the name of an API isn't a string", place.path, place.line)
        name = name or function.name
        kinds = [self._descriptor(given.get(side)) for side in ("input", "output")]
        for side, kind in zip(("input", "output"), kinds, strict=True):
            if kind is None:
                error = NotConstantError("it isn't a descriptor of `bentoml.io`", place.path, place.line)
                self.reader.unknown(f"apis.{name}.{side}_type", f"the {side} of API `{name}`", error, required=True)
        return Api(name, route if route is not None else name, input_type=kinds[0], output_type=kinds[1]), call.lineno

    def _descriptor(self, node: ast.expr | None) -> str | None:
        """Return the class name of `bentoml.io.JSON(…)` or `bentoml.io.NumpyNdarray.from_sample(…)`."""
        try:
            call = self._resolved(node) if node is not None else None
        except NotConstantError:
            return None
        name = self.reader.names.outside(self.scope.module, call.func) if isinstance(call, ast.Call) else None
        if not name or not name.startswith("bentoml.io."):
            return None
        kind = name.split(".")[2]
        return "BytesIOFile" if kind == "File" else kind  # the class that `bentoml.io.File(…)` makes
