"""Reads simple services of `bentoml.legacy.Service`: runners, models, APIs (bento.yaml's `spec: 1`)."""

from __future__ import annotations

import ast

from rules_bento.service.bindings import VALUE, Definition, Module, NotConstantError, text_of
from rules_bento.service.metadata import Api, Model, Runner, ServiceInfo
from rules_bento.service.sdk_names import words
from rules_bento.service.services import arguments_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.constants import Constants

# Framework to the name of the runnable class that BentoML 1.4 makes for it.
RUNNABLES = dict(
    pair.split("=")
    for pair in (  # noqa: SIM905 - shorter
        "catboost=CatBoostRunnable detectron=Detectron2Runnable diffusers=DiffusersRunnable easyocr=EasyOCRRunnable "
        "fastai=FastAIRunnable flax=FlaxRunnable keras=KerasRunnable lightgbm=LightGBMRunnable "
        "mlflow=MLflowPyfuncRunnable onnx=ONNXRunnable picklable_model=PicklableRunnable pytorch=NewClass "
        "pytorch_lightning=NewClass sklearn=SklearnRunnable tensorflow=TensorflowRunnable torchscript=NewClass "
        "transformers=TransformersRunnable xgboost=XGBoostRunnable"
    ).split()
)
# Their `get` is `bentoml.models.get`, which accepts a model of any framework.
GET_ANY = {"catboost", "lightgbm", "mlflow", "sklearn", "xgboost"}
_HOOKS = words("on_deployment on_shutdown on_startup")


class LegacyReader:
    """Reads one legacy service. Raises NotConstantError for all but the simplest."""

    def __init__(self, constants: Constants, module: Module) -> None:
        self._constants = constants
        self._names = constants.names
        self._module = module

    def info(self, definition: Definition, service: str) -> ServiceInfo:
        """Return the metadata of the service."""
        given = self._arguments(definition.node, ["name"], {"name", "runners", "models"})
        name = self._constants.whole(self._module, given["name"]) if "name" in given else None
        if not isinstance(name, str):
            raise self._unsupported(definition.node)
        runners = [self._runner(each) for each in self._items(given.get("runners"))]
        models = [self._model(each)[0] for each in self._items(given.get("models"))]
        apis = self._apis(definition)
        for names in ([each.name for each in runners], [each.name for each in apis]):
            if len(set(names)) < len(names):  # which BentoML rejects
                raise self._unsupported(definition.node)
        tags = dict.fromkeys([*(each.tag for each in models), *(tag for each in runners for tag in each.models)])
        return ServiceInfo(
            service=service,
            path=self._module.path,
            kind="legacy",
            bento_name=name.lower(),
            entry_service=name.lower(),
            models=tuple(Model("", tag, alias=True) for tag in tags),
            runners=tuple(runners),
            apis=tuple(apis),
        )

    def _unsupported(self, node: ast.AST) -> NotConstantError:
        return NotConstantError(f"`{text_of(node)}` isn't supported in a legacy service", self._module.path, node)

    def _arguments(self, call: ast.AST, names: list[str], known: set[str]) -> dict[str, ast.expr]:
        given = arguments_of(call, names) if isinstance(call, ast.Call) else None
        if given is None or not given.keys() <= known:
            raise self._unsupported(call)
        return given

    def _items(self, node: ast.expr | None) -> list[ast.expr]:
        if node is not None and not isinstance(node, ast.List):
            raise self._unsupported(node)
        return node.elts if isinstance(node, ast.List) else []

    def _call(self, node: ast.expr) -> tuple[ast.Call, str]:
        """Return the call of an expression or of a name of this module, and what it calls."""
        if isinstance(node, ast.Name):
            definition = self._names.resolve(self._module, node)
            if definition.kind != VALUE or definition.module is not self._module:
                raise self._unsupported(node)
            self._constants.code.require_uses(definition, self._is_plain)
            node = definition.node  # type: ignore[assignment]
        if not isinstance(node, ast.Call):
            raise self._unsupported(node)
        return node, self._names.outside(self._module, node.func) or ""

    def _is_plain(self, module: Module, node: ast.expr) -> bool:
        """Return whether code at import leaves a model, runner, or descriptor as it is."""
        around = self._constants.code.parent(node)
        if isinstance(around, ast.Attribute):
            return isinstance(around.ctx, ast.Load)
        return module is self._module and isinstance(around, (ast.List, ast.keyword))

    def _model(self, node: ast.expr) -> tuple[Model, str]:
        """Return `bentoml.sklearn.get("tag")`, and its framework."""
        call, name = self._call(node)
        head, _, method = name.rpartition(".")
        if method != "get" or not head.startswith("bentoml."):
            raise self._unsupported(call)
        tag = self._constants.whole(self._module, call.args[0]) if len(call.args) == 1 and not call.keywords else None
        if not isinstance(tag, str):
            raise self._unsupported(call)
        return Model("", tag, alias=True), head.removeprefix("bentoml.").replace("models", "")

    def _runner(self, node: ast.expr) -> Runner:
        call, name = self._call(node)
        if not name and isinstance(call.func, ast.Attribute) and call.func.attr == "to_runner":
            self._arguments(call, [], set())
            model, framework = self._model(call.func.value)
            tag = model.tag
            return Runner(tag.partition(":")[0].lower(), RUNNABLES.get(framework, ""), False, (tag,), framework)
        raise self._unsupported(call)

    def _apis(self, definition: Definition) -> list[Api]:
        """Return the APIs that `@svc.api(…)` defines. Raises NotConstantError for any other use of the service."""
        found: list[tuple[int, Api]] = []

        def is_plain(by: Module, node: ast.expr) -> bool:
            code = self._constants.code
            method = code.parent(node)
            call = code.parent(method) if isinstance(method, ast.Attribute) else None
            if not isinstance(method, ast.Attribute) or by is not self._module or call is None:
                return False
            function = code.parent(call) if isinstance(call, ast.Call) else call
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or code.parent(function) is not None:
                return False
            if method.attr == "api" and len(function.decorator_list) == 1:
                found.append((node.lineno, self._api(call, function.name)))
                return True
            return method.attr in _HOOKS

        self._constants.code.require_uses(definition, is_plain)
        return [api for _, api in sorted(found, key=lambda each: each[0])]

    def _api(self, call: ast.AST, function: str) -> Api:
        given = self._arguments(call, ["input", "output"], {"input", "output", "route"})
        route = self._constants.whole(self._module, given["route"]) if "route" in given else function
        if not {"input", "output"} <= given.keys() or not isinstance(route, str):
            raise self._unsupported(call)
        kinds = []
        for side in ("input", "output"):
            head, _, kind = self._call(given[side])[1].rpartition(".")
            if head != "bentoml.io":
                raise self._unsupported(given[side])
            kinds.append("BytesIOFile" if kind == "File" else kind)  # the class that `bentoml.io.File(…)` makes
        return Api(function, route, input_type=kinds[0], output_type=kinds[1])
