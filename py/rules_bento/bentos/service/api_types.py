"""Accepts APIs whose signatures BentoML and pydantic certainly accept. The import decides about others."""

from __future__ import annotations

import ast
import builtins
import sys
from contextlib import suppress

from rules_bento.base.python_source import parse
from rules_bento.bentos.service.modules import Module, Names, NotConstantError, callee, own_nodes, unsupported
from rules_bento.bentos.service.sdk_names import words

Function = ast.FunctionDef | ast.AsyncFunctionDef

_ARGUMENTS = words("batch_dim batchable max_batch_size max_latency_ms name route")
_RESERVED = words("model_config model_dump model_dump_json model_validate model_validate_json model_validate_strings")
_TYPING = ("typing.", "typing_extensions.", "collections.abc.")
_PLAIN = words(
    "Any Dict List Mapping Sequence Set Tuple bool bytes dict float int list object set str tuple datetime.date "
    "datetime.datetime datetime.time datetime.timedelta decimal.Decimal pathlib.Path pydantic.BaseModel uuid.UUID"
)
# BentoML supports these as the type of a parameter or output, and in some containers.
_OF_BENTOML = words("PIL.Image.Image numpy.ndarray numpy.typing.NDArray pandas.DataFrame torch.Tensor")
_CONTAINERS = {"Dict": 2, "Iterable": 1, "List": 1, "Optional": 1, "Union": 0, "dict": 2, "list": 1}
_OTHERS = {"Mapping": 2, "Sequence": 1, "Set": 1, "Tuple": 0, "set": 1, "tuple": 0}
_ITERATORS = {"AsyncGenerator": 2, "AsyncIterator": 1, "Generator": 3, "Iterator": 1}  # of the output
_ENUMS = ({"enum.Enum"}, {"str", "enum.Enum"}, {"enum.IntEnum"}, {"enum.StrEnum"})
_KNOWN = words("PIL attr attrs bentoml fastapi numpy pandas pydantic starlette torch")  # packages
_MAX_DEPTH = 20


class ApiTypes:
    """Verifies the signatures of the APIs of a module. Raises NotConstantError if BentoML might reject one."""

    def __init__(self, names: Names, module: Module) -> None:
        self._names = names
        self._module = module
        self._accepted: set[ast.ClassDef] = set()

    def require_accepted(self, function: Function, decorator: ast.expr, *, is_task: bool) -> None:
        """Verify an API and the arguments of its decorator."""
        values = {each.arg: each.value for each in getattr(decorator, "keywords", ())}
        specs = [values.pop(name) for name in ("input_spec", "output_spec") if name in values]
        size = getattr(values.get("max_batch_size"), "value", 2)
        if not values.keys() <= _ARGUMENTS or not (isinstance(size, (int, float)) and size > 1):
            raise unsupported(self._module, decorator, "has an argument that isn't supported")
        for spec in specs:
            definition = self._names.resolve(self._module, spec)
            if not isinstance(definition.node, ast.ClassDef) or definition.node.decorator_list:
                raise unsupported(self._module, spec, "isn't a pydantic model of the sources")
            self._accept_class(definition.module, definition.node, 0)
        yields = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(*function.body))
        given = function.args
        parameters = [*given.posonlyargs, *given.args, *filter(None, [given.vararg]), *given.kwonlyargs][1:]
        is_root = len(given.posonlyargs) > 1
        if (
            (is_task and yields)
            or not [*given.posonlyargs, *given.args]
            or (is_root and (parameters[1:] or given.kwarg))
        ):
            why = f"`{function.name}` is a task that yields, or has unsupported parameters"
            raise NotConstantError(why, self._module.path, function)
        context = "ctx" if "ctx" in {each.arg for each in parameters} else "context"
        for each in parameters:
            type_of = _evaluated(each.annotation) if each.annotation else None
            if each.arg == context and (type_of is None or self._name(self._module, type_of) == "bentoml.Context"):
                continue
            if each.arg.startswith("_") or each.arg in _RESERVED:
                raise NotConstantError(f"pydantic might not allow the name `{each.arg}`", self._module.path, each)
            if type_of:
                self._accept(self._module, type_of)
        if function.returns:
            returned = _evaluated(function.returns)
            if isinstance(returned, ast.Subscript):
                items = _items(returned)
                is_iterator = len(items) == _ITERATORS.get(self._name(self._module, returned.value))
                returned = items[0] if is_iterator else returned
            self._accept(self._module, returned)

    def _name(self, module: Module, node: ast.AST) -> str:
        """Return the dotted name of a type without `typing`, the name of a built-in type, or "" for other types."""
        known = module.bindings.get(node.id, []) if isinstance(node, ast.Name) else []
        if len(known) > 1 and all(f"{each.module}." in _TYPING and each.name == known[0].name for each in known):
            return known[0].name
        if outside := self._names.outside(module, node):
            return next((outside.removeprefix(prefix) for prefix in _TYPING if outside.startswith(prefix)), outside)
        is_builtin = isinstance(node, ast.Name) and node.id not in module.bindings and hasattr(builtins, node.id)
        return node.id if isinstance(node, ast.Name) and is_builtin else ""

    def _accept(self, module: Module, node: ast.expr, depth: int = 0, *, is_direct: bool = True) -> None:
        """Raise NotConstantError for a type that isn't supported. `is_direct` allows the types of BentoML."""
        match node := _evaluated(node):
            case _ if depth > _MAX_DEPTH:
                raise unsupported(module, node)
            case ast.Constant(value=None):
                return
            case ast.BinOp(op=ast.BitOr(), left=left, right=right) if not _is_text(left) and not _is_text(right):
                self._accept(module, left, depth + 1, is_direct=False)
                self._accept(module, right, depth + 1, is_direct=False)
                return
            case ast.Subscript(value=of):
                if self._accepts_generic(module, self._name(module, of), _items(node), depth, is_direct):
                    return
            case ast.Name() | ast.Attribute():
                name = self._name(module, node)
                if name in _PLAIN or (is_direct and name in _OF_BENTOML) or _is_unknown(name):
                    return
                definition = None if name else self._names.resolve(module, node)
                if definition and isinstance(definition.node, ast.expr):
                    self._accept(definition.module, definition.node, depth + 1, is_direct=is_direct)
                    return
                if definition and isinstance(definition.node, ast.ClassDef):
                    self._accept_class(definition.module, definition.node, depth + 1)
                    return
        raise unsupported(module, node, "isn't a supported type of an API")

    def _accepts_generic(self, module: Module, name: str, items: list[ast.expr], depth: int, is_direct: bool) -> bool:
        if name == "Annotated":
            of = items[0].value if isinstance(items[0], ast.Subscript) else items[0]
            is_direct = is_direct and self._name(module, of) not in _CONTAINERS
            self._accept(module, items[0], depth + 1, is_direct=is_direct)
            return True
        if name == "Literal":
            return all(isinstance(each, ast.Constant) for each in items)
        if name in _OF_BENTOML:
            return is_direct
        count = _CONTAINERS.get(name, _OTHERS.get(name))
        if count is None or len(items) != (count or len(items)):
            return False
        for each in items:
            if not (name in ("Tuple", "tuple") and getattr(each, "value", None) is ...):
                self._accept(module, each, depth + 1, is_direct=is_direct and name in _CONTAINERS)
        return True

    def _accept_class(self, module: Module, node: ast.ClassDef, depth: int) -> None:
        """Verify that a class of the sources is an enum, a pydantic model, or a dataclass, with supported fields."""
        if node in self._accepted:
            return
        self._accepted.add(node)
        bases = {self._name(module, each) for each in node.bases}
        if bases in _ENUMS and not (node.decorator_list or node.keywords):
            return
        is_model = bool(bases) and not node.decorator_list
        is_record = (
            is_model or {self._names.outside(module, callee(each)) for each in node.decorator_list} == _DATACLASS
        )
        if node.keywords or (bases and not is_model) or not is_record:
            raise unsupported(module, node, "isn't a supported type of an API")
        for base in node.bases:
            if self._name(module, base) not in ("bentoml.IODescriptor", "pydantic.BaseModel"):
                definition = self._names.resolve(module, base)
                if not isinstance(definition.node, ast.ClassDef):
                    raise unsupported(module, base, "isn't a pydantic model of the sources")
                self._accept_class(definition.module, definition.node, depth + 1)
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    of = annotation.value if isinstance(annotation, ast.Subscript) else annotation
                    if name[0] != "_" and self._name(module, of) != "ClassVar":
                        self._accept(module, annotation, depth + 1, is_direct="bentoml.IODescriptor" in bases)
                case ast.Assign(targets=[ast.Name(id=name)]) if name != "model_config" and is_model:
                    raise unsupported(module, statement, "isn't supported in the model of an API")


_DATACLASS = {"dataclasses.dataclass"}


def _is_unknown(name: str) -> bool:
    """Return whether a class is from another package, where pydantic most likely supports the class."""
    top, _, rest = name.partition(".")
    return bool(rest) and top not in sys.stdlib_module_names | _KNOWN


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _items(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _evaluated(node: ast.expr) -> ast.expr:
    """Return the expression in a string annotation, or the node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        with suppress(SyntaxError, ValueError):
            body: ast.expr = parse(node.value.strip(), mode="eval").body
            for each in ast.walk(body):
                ast.copy_location(each, node)
            return body
    return node
