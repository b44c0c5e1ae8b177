"""Finds signatures of APIs that BentoML or pydantic rejects when it imports or describes a service.

Classes of libraries can have hooks of pydantic, so other types than those in the tables are never rejected.
"""

from __future__ import annotations

import ast
import builtins
from contextlib import suppress

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError, nearest
from rules_bento.service.modules import FUNCTIONS, Definition, Module, Names, NotConstantError, callee, own_nodes
from rules_bento.service.sdk_names import words
from rules_bento.typing_lite import Iterator

NEVER = 99  # the minor version of Python for what no version supports
_APIS = ("bentoml.api", "bentoml.task")
_ARGUMENTS = words("batch_dim batchable func input_spec max_batch_size max_latency_ms name output_spec route")
_RESERVED = words("model_config model_dump model_dump_json model_validate model_validate_json model_validate_strings")
_TYPING = ("typing.", "typing_extensions.", "collections.abc.")
_ITERATORS = words("AsyncGenerator AsyncIterator Generator Iterator")  # of the output
_REJECTED = words(
    "AbstractContextManager AsyncGenerator AsyncIterable AsyncIterator Awaitable BinaryIO Callable Container "
    "ContextManager Coroutine Exception Generic Hashable IO ItemsView Iterator KeysView LiteralString Never NoReturn "
    "Protocol Reversible Self Sized SupportsFloat SupportsIndex SupportsInt TextIO ValuesView any bytearray callable "
    "memoryview property range slice type "
    "PIL.Image abc.ABC array.array bentoml.Context bentoml.Model bentoml.Tag bentoml.images.Image "
    "bentoml.models.BentoModel bentoml.models.HuggingFaceModel collections.ChainMap collections.UserDict "
    "concurrent.futures.Future contextlib.AbstractContextManager datetime.timezone datetime.tzinfo fastapi.FastAPI "
    "fastapi.Request fastapi.Response re.Match types.FunctionType types.ModuleType types.SimpleNamespace"
)
# All names of these modules, except for names with an ending.
_MODULES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(words("asyncio fastapi.responses io logging queue socket threading"), ()),
    **dict.fromkeys(words("starlette.requests starlette.responses"), ()),
    "numpy": (".ndarray", ".NDArray"),
    "pandas": (".DataFrame",),
    "torch": ("Tensor", ".Parameter"),
}
# BentoML supports these as the type of a parameter or output, and in these containers.
_OF_BENTOML = words("PIL.Image.Image numpy.ndarray numpy.typing.NDArray pandas.DataFrame torch.Tensor")
_CONTAINERS = words("Dict Iterable List Optional Union dict list") | _ITERATORS
_OTHER_CONTAINERS = words(
    "AbstractSet Counter DefaultDict Deque FrozenSet Mapping MutableMapping MutableSequence MutableSet OrderedDict "
    "Sequence Set Tuple collections.deque frozenset set tuple"
)
# Classes of the sources: bases of classes that pydantic rejects or whose fields it checks, decorators, and hooks.
_PLAIN_BASES = words("Exception Generic Protocol abc.ABC dict int list object str")
_RECORD_BASES = words("NamedTuple TypedDict pydantic.BaseModel")
_ATTRS = words("attr.attrs attr.define attr.frozen attr.mutable attr.s attrs.define attrs.frozen attrs.mutable")
_HOOKS = words("Config __get_pydantic_core_schema__ __get_validators__ model_config")
_HARMLESS = words("bentoml.validators.ContentType bentoml.validators.DType bentoml.validators.Shape")
_MAX_DEPTH = 20


class Finding(NamedTuple):
    """A problem of the signature of an API in a line of a file, and the minor version of Python 3 that supports it."""

    path: str
    node: ast.AST
    problem: str
    minor: int = NEVER

    @property
    def line(self) -> int:
        """The 1-based line number."""
        return getattr(self.node, "lineno", 1)


def findings(names: Names, module: Module) -> Iterator[Finding]:
    """Yield the problems of the APIs in the classes of a module."""
    for owner in (each for each in module.tree.body if isinstance(each, ast.ClassDef)):
        for function in (each for each in owner.body if isinstance(each, FUNCTIONS)):
            for decorator in function.decorator_list:
                if names.outside(module, callee(decorator)) in _APIS:
                    yield from _Api(names, module, owner, function, decorator).findings()


class _Api:
    """An API and its decorator in a module."""

    def __init__(
        self,
        names: Names,
        module: Module,
        owner: ast.ClassDef,
        function: ast.FunctionDef | ast.AsyncFunctionDef,
        decorator: ast.expr,
    ) -> None:
        self._names = names
        self._module = module
        self._function = function
        self._decorator = decorator
        given = function.args
        last = [each for each in (given.vararg, *given.kwonlyargs, given.kwarg) if each]
        self._parameters = [*given.posonlyargs, *given.args, *last][1:]
        scopes = [node for each in (owner, function) for node in getattr(each, "type_params", ())] + owner.body
        self._local = {getattr(each, "name", "") for each in scopes}

    def findings(self) -> Iterator[Finding]:
        """Yield the problems of the decorator, the parameters, and the types."""
        yield from self._of_decorator()
        specs = {each.arg for each in getattr(self._decorator, "keywords", ())}
        yield from () if "input_spec" in specs else self._of_parameters()
        for each in [] if "input_spec" in specs else self._parameters:
            if each.annotation and each is not self._function.args.kwarg and not self._is_context(each):
                yield from self._type(self._module, each.annotation)
        if self._function.returns and "output_spec" not in specs:
            yield from self._output(_evaluated(self._function.returns))

    def _finding(self, node: ast.AST, problem: str) -> Finding:
        return Finding(self._module.path, node, problem)

    def _of_decorator(self) -> Iterator[Finding]:
        is_stream = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(*self._function.body))
        if is_stream and self._names.outside(self._module, callee(self._decorator)) == "bentoml.task":
            yield self._finding(self._decorator, "a task can't yield values. Use `@bentoml.api`, or return a value")
        for keyword in getattr(self._decorator, "keywords", ()):
            name, value = keyword.arg, getattr(keyword.value, "value", 2)
            if name and name not in _ARGUMENTS:
                near = nearest(name, _ARGUMENTS)
                hint = f"Did you mean `{near}`?" if near else "Remove the argument"
                yield self._finding(keyword.value, f"unknown argument `{name}` of the decorator. {hint}")
            is_wrong = isinstance(keyword.value, ast.Constant) and not (isinstance(value, (int, float)) and value > 1)
            if name in ("input_spec", "output_spec") and self._is_no_model(keyword.value):
                yield self._finding(keyword.value, f"`{name}` must be a pydantic model. Use another class")
            if name == "max_batch_size" and is_wrong:
                yield self._finding(keyword.value, f"`max_batch_size` must be a number above 1, got {value!r}")

    def _of_parameters(self) -> Iterator[Finding]:
        given = self._function.args
        own = [each for each in self._parameters if not self._is_context(each)]
        if not (given.posonlyargs or given.args or given.vararg):
            yield self._finding(self._function, "the method of an API has no parameters. Add `self`")
        if own[:1] and own[0] in given.posonlyargs and len(own) > 1:
            yield self._finding(own[0], "a positional-only parameter of an API must be the only one. Remove `/`")
        for each in own:
            if each not in (given.vararg, given.kwarg) and (each.arg.startswith("_") or each.arg in _RESERVED):
                yield self._finding(each, f"pydantic doesn't allow the name `{each.arg}`. Rename the parameter")

    def _is_context(self, parameter: ast.arg) -> bool:
        """Return whether a parameter is the one to which BentoML passes the context instead of an input."""
        others = {each.arg for each in self._parameters}
        if parameter.arg != ("ctx" if "ctx" in others else "context"):
            return False
        annotation = parameter.annotation
        return annotation is None or self._name(self._module, _evaluated(annotation)) == "bentoml.Context"

    def _is_no_model(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return node.value is not None
        return isinstance(node, ast.Name) and self._name(self._module, node) in ("bool", "float", "int", "list", "str")

    # Types

    def _name(self, module: Module, node: ast.AST) -> str:
        """Return the dotted name of a type without `typing`, the name of a built-in type, or "" for other types."""
        outside = self._names.outside(module, node)
        if outside:
            return next((outside.removeprefix(prefix) for prefix in _TYPING if outside.startswith(prefix)), outside)
        is_builtin = isinstance(node, ast.Name) and node.id not in module.bindings and hasattr(builtins, node.id)
        return node.id if isinstance(node, ast.Name) and is_builtin else ""

    def _output(self, node: ast.expr) -> Iterator[Finding]:
        of, items = (node.value, _items(node)) if isinstance(node, ast.Subscript) else (node, [])
        name = self._name(self._module, of)
        if name not in _ITERATORS:
            yield from self._type(self._module, node)
        elif items:
            count = {"AsyncGenerator": 2, "Generator": 3}.get(name, 1)
            if len(items) < count and (self._names.outside(self._module, of) or "").startswith("typing"):
                none = ", None" * (count - len(items))
                problem = f"`{name}` with {len(items)} types requires Python 3.13; add `{none}`"
                yield Finding(self._module.path, node, problem, 13)
            yield from self._type(self._module, items[0])
        else:
            yield self._finding(node, f"BentoML requires the type of the items. Write `{name}[...]`")

    def _type(self, module: Module, node: ast.expr, since: int = 0, depth: int = 0) -> Iterator[Finding]:
        """Yield the problems of a type in a module.

        `since` is the minor version of Python 3 with which BentoML supports its own types in this place.
        """
        match node := _evaluated(node):
            case _ if depth > _MAX_DEPTH:
                pass
            case (
                ast.Dict()
                | ast.List()
                | ast.Set()
                | ast.Tuple()
                | ast.Constant(value=bool() | int() | float() | bytes() | str())
            ):
                yield Finding(module.path, node, f"`{ast.unparse(node)}` isn't a type")
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                yield from self._type(module, left, max(since, 14), depth + 1)
                yield from self._type(module, right, max(since, 14), depth + 1)
            case ast.Subscript(value=of):
                yield from self._generic(module, of, _items(node), since, depth)
            case ast.Name() | ast.Attribute():
                yield from self._named(module, node, since, depth)

    def _generic(
        self, module: Module, of: ast.expr, items: list[ast.expr], since: int, depth: int
    ) -> Iterator[Finding]:
        name = self._name(module, of)
        if name == "Annotated" and all(self._is_harmless(module, each) for each in items[1:]):
            inner = _evaluated(items[0])
            is_hidden = depth > 0 and isinstance(inner, ast.Subscript)
            yield from self._type(module, inner, NEVER if is_hidden else since, depth + 1)
        elif not name or name in _OF_BENTOML or (_is_rejected(name) and name != "type"):
            yield from self._named(module, of, since, depth)
        elif name in _CONTAINERS | _OTHER_CONTAINERS:
            for each in items:
                yield from self._type(module, each, since if name in _CONTAINERS else NEVER, depth + 1)

    def _named(self, module: Module, node: ast.expr, since: int, depth: int) -> Iterator[Finding]:
        name, text = self._name(module, node), ast.unparse(node)
        known = module.bindings.get(text, [])
        if name in _OF_BENTOML and since:
            problem = (
                f"BentoML supports `{text}` only as the type of a parameter or output, and in lists, dicts, and unions"
            )
            newer = f"`{text}` in a union with `|` requires Python 3.14; write `Optional` or `Union`"
            yield Finding(module.path, node, newer if since == 14 else problem, since)
        elif _is_rejected(name) or (len(known) == 1 and known[0].module and not known[0].name):
            yield Finding(module.path, node, f"pydantic doesn't support the type `{text}`. Use another type")
        elif not name and isinstance(node, ast.Name) and not (known or text in module.imports or text in self._local):
            yield Finding(
                module.path, node, f"the type `{text}` isn't defined. Import the type at the top of the module"
            )
        elif not name:
            with suppress(NotConstantError, BentoError):
                definition = self._names.resolve(module, node)
                if isinstance(definition.node, ast.ClassDef):
                    yield from self._class(definition, Finding(module.path, node, ""), depth + 1)
                elif isinstance(definition.node, ast.expr):
                    yield from self._type(definition.module, definition.node, since, depth + 1)

    def _class(self, definition: Definition, use: Finding, depth: int) -> Iterator[Finding]:
        """Yield the problem of a class of the sources, or of its fields."""
        module, node = definition.module, definition.node
        assert isinstance(node, ast.ClassDef)
        members = {getattr(each, "name", getattr(getattr(each, "target", None), "id", "")) for each in node.body}
        members |= {
            getattr(target, "id", "") for each in node.body if isinstance(each, ast.Assign) for target in each.targets
        }
        bases = {self._name(module, each.value if isinstance(each, ast.Subscript) else each) for each in node.bases}
        made = {self._names.outside(module, callee(each)) or "?" for each in node.decorator_list}
        is_open = any(each.arg != "total" for each in node.keywords)
        if members & _HOOKS or is_open or bool(getattr(node, "type_params", None)):
            return
        if bases <= _PLAIN_BASES and made <= _ATTRS:
            problem = f"pydantic doesn't support the class `{node.name}`. Use a pydantic model or a dataclass"
            yield use._replace(problem=problem)
        elif (bases <= _RECORD_BASES and not made) or (not bases and made == {"dataclasses.dataclass"}):
            if self._names.outside(module, node.bases[0] if node.bases else node) == "typing.TypedDict":
                problem = (
                    f"`{node.name}`, a `typing.TypedDict`, requires Python 3.12; use `typing_extensions.TypedDict`"
                )
                yield use._replace(problem=problem, minor=12)
            self._local |= members
            for field in (each for each in node.body if isinstance(each, ast.AnnAssign)):
                is_private = getattr(field.target, "id", "_").startswith("_") and "pydantic.BaseModel" in bases
                given = {each.arg for each in field.value.keywords} if isinstance(field.value, ast.Call) else set()
                if not is_private and "init" not in given:
                    yield from self._type(module, field.annotation, NEVER, depth + 1)

    def _is_harmless(self, module: Module, metadata: ast.expr) -> bool:
        """Return whether a value after the type in `Annotated` can't make a type valid."""
        name = self._names.outside(module, callee(metadata)) or ""
        return isinstance(metadata, ast.Constant) or name in _HARMLESS


def _is_rejected(name: str) -> bool:
    if name in _REJECTED:
        return True
    modules = (module for module in _MODULES if f"{name}.".startswith(f"{module}."))
    return any(not name.endswith(_MODULES[module] or "\0") for module in modules)


def _items(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _evaluated(node: ast.expr) -> ast.expr:
    """Return the expression in a string annotation, or the node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        with suppress(SyntaxError, ValueError):
            body = ast.parse(node.value.strip(), mode="eval").body
            for each in ast.walk(body):
                ast.copy_location(each, node)
            return body
    return node
