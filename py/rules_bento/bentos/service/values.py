"""Evaluates constant expressions: literals, names of constants, and a few operations on constants."""

from __future__ import annotations

import ast
import operator
import re

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping, Sequence
from rules_bento.bentos.service.modules import Definition, Module, NotConstantError, unsupported

if TYPE_CHECKING:
    from rules_bento.bentos.service.bans import Program

MAX_NODES = 100_000  # of all values that are expanded for one service
MAX_TEXT = 1 << 16  # characters of a string that an operation makes
_MAX_BITS = 256  # of a number
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Mult: operator.mul, ast.Sub: operator.sub
}  # fmt: skip


class Constants:
    """Evaluates constant expressions in the modules of one service."""

    def __init__(self, program: Program, arguments: Mapping[str, object]) -> None:
        self.program = program
        self.names = program.names
        self.arguments = arguments
        self._left = MAX_NODES
        self._evaluating: set[tuple[str, str]] = set()

    def _spend(self, nodes: int) -> None:
        """Add `nodes` to the number of evaluated nodes. Raises BentoError if the number exceeds `MAX_NODES`."""
        self._left -= nodes
        if self._left < 0:
            remedy = "If a constant isn't needed when the module is imported, move the constant into a function."
            raise BentoError(f"the service's constants contain more than {MAX_NODES} values in total", remedy=remedy)

    def value(self, module: Module, node: ast.expr) -> Any:
        """Return the value of an expression. Raises NotConstantError if the value is unknown."""
        self._spend(1)
        match node:
            case ast.Constant(value=value):
                return self._constant(value, module, node)
            case ast.Name():
                return self._named(module, node)
            case ast.Attribute():
                return self._argument(module, node)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._list(module, items)
            case ast.Dict(keys=keys, values=items):
                return self._dict(module, keys, items)
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=pairs) if "dict" not in module.bindings:
                names = [ast.Constant(each.arg) if each.arg else None for each in pairs]
                return self._dict(module, names, [each.value for each in pairs])
            case ast.JoinedStr(values=parts):
                return self._constant("".join(self.text(module, part) for part in parts), module, node)
            case ast.FormattedValue(value=part, conversion=-1, format_spec=None):
                value = self.value(module, part)
                if not isinstance(value, (list, dict)):
                    return str(value)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                value = self.value(module, operand)
                if isinstance(value, (int, float)):
                    return self._constant(_UNARY[type(op)](value), module, node)
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _BINARY:
                one, other = self.value(module, left), self.value(module, right)
                is_text = type(one) is type(other) is str and isinstance(op, ast.Add)
                if is_text or (isinstance(one, (int, float)) and isinstance(other, (int, float))):
                    return self._constant(_BINARY[type(op)](one, other), module, node)
            case ast.Call(
                func=ast.Attribute(value=of, attr="lower" | "strip" | "title" | "upper" as method), args=[], keywords=[]
            ):
                return self._constant(getattr(self.text(module, of), method)(), module, node)
            case ast.Call(func=ast.Attribute(value=of, attr="replace"), args=[old, new], keywords=[]):
                text, found, other = (self.text(module, each) for each in (of, old, new))
                if len(text) * len(other) < MAX_TEXT:
                    return self._constant(text.replace(found, other), module, node)
        raise unsupported(module, node)

    def text(self, module: Module, node: ast.expr) -> str:
        """Return the string value of an expression. Raises NotConstantError if the value isn't a known string."""
        value = self.value(module, node)
        if not isinstance(value, str):
            raise unsupported(module, node, "isn't a string")
        return value

    def _constant(self, value: object, module: Module, node: ast.AST) -> Any:
        if isinstance(value, str):
            self._spend(len(value) // 100)
            if len(value) > MAX_TEXT or any("\ud800" <= character <= "\udfff" for character in value):
                why = f"the string has more than {MAX_TEXT} characters, or an unpaired surrogate"
                raise NotConstantError(why, module.path, node)
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise NotConstantError(f"the number has more than {_MAX_BITS} bits", module.path, node)
        if value is None or isinstance(value, (bool, float, int, str)):
            return value
        raise NotConstantError("the value isn't a string, a number, a list, or a dict", module.path, node)

    def _list(self, module: Module, items: list[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for item in items:
            more = self.value(module, item.value if isinstance(item, ast.Starred) else item)
            if isinstance(item, ast.Starred) and not isinstance(more, list):
                raise unsupported(module, item)
            values += more if isinstance(item, ast.Starred) else [more]
        return values

    def _dict(self, module: Module, keys: Sequence[ast.expr | None], items: list[ast.expr]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in zip(keys, items, strict=True):
            more = self.value(module, item)
            if key is None and not isinstance(more, dict):
                raise unsupported(module, item)
            values |= more if key is None else {self.text(module, key): more}
        return values

    # Names

    def _named(self, module: Module, node: ast.Name) -> Any:
        definition = self.names.resolve(module, node)
        if not isinstance(definition.node, ast.expr):
            raise unsupported(module, node)
        if definition.key in self._evaluating:
            raise NotConstantError(f"the definition of `{definition.name}` is circular", module.path, node)
        if definition.name in self.program.stored:
            raise NotConstantError(f"an attribute `{definition.name}` is assigned", module.path, node)
        self._evaluating.add(definition.key)
        try:
            value = self.value(definition.module, definition.node)
        finally:
            self._evaluating.discard(definition.key)
        if isinstance(value, (list, dict)):
            self._require_reads(definition, value)
        return value

    def _require_reads(self, definition: Definition, value: list[Any] | dict[str, Any]) -> None:
        """Raise NotConstantError if the code might modify a list or dict."""
        items = value.values() if isinstance(value, dict) else value
        is_flat = not any(isinstance(each, (list, dict)) for each in items)
        is_only_use = len(self.program.uses.get(definition.key, ())) < 2

        def only_reads(by: Module, use: ast.expr) -> bool:
            around = by.parents.get(use)
            pairs = zip(around.keys, around.values, strict=True) if isinstance(around, ast.Dict) else ()
            is_copied = isinstance(around, ast.Starred) or any(key is None and item is use for key, item in pairs)
            keyword = keyword_of_service(self.program, by, use)
            return is_only_use or (is_copied and is_flat) or keyword not in ("", "endpoints", "traffic")

        self.program.require_uses(definition.module, definition.name, only_reads)

    # Arguments of the Bento

    def _argument(self, module: Module, node: ast.Attribute) -> Any:
        """Return the value of a Bento argument such as `args.field`. Raises NotConstantError for an unknown value."""
        owner = self.names.resolve(module, node.value)
        call, module = owner.node, owner.module
        if not isinstance(call, ast.Call) or self.names.outside(module, call.func) != "bentoml.use_arguments":
            raise unsupported(module, node)
        self.program.require_uses(owner.module, owner.name, _reads_attribute)
        if owner.name in self.program.stored or node.attr in self.program.stored or len(call.args) > 1 or call.keywords:
            raise unsupported(module, node)
        if not call.args:
            if node.attr not in self.arguments:
                why = f"the argument `{node.attr}` of the Bento isn't set with `args` or --arg"
                raise NotConstantError(why, module.path, node)
            return self._constant(self.arguments[node.attr], module, node)
        model = self.names.resolve(module, call.args[0])
        of, module = model.node, model.module
        if not isinstance(of, ast.ClassDef) or [self.names.outside(module, each) for each in of.bases] != [_MODEL]:
            raise NotConstantError(f"`{model.name}` isn't a direct subclass of {_MODEL}", module.path, of)
        self.program.require_uses(
            module, model.name, lambda by, use: self.program.receiver(by, use) == "bentoml.use_arguments"
        )
        fields = [each for each in of.body if isinstance(each, ast.AnnAssign)]
        texts = [each for each in of.body if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)]
        if of.keywords or of.decorator_list or len(fields) + len(texts) < len(of.body):
            raise NotConstantError(f"the model `{of.name}` has more than fields", module.path, of)
        found = [each for each in fields if getattr(each.target, "id", "") == node.attr]
        if len(found) != 1 or node.attr.startswith(("_", "model_")):
            raise unsupported(module, node)
        return self._field(module, node.attr, found[0])

    def _field(self, module: Module, name: str, field: ast.AnnAssign) -> Any:
        """Return the value of a Bento argument, or the default in `field`. Raises NotConstantError if it is unknown."""
        kind = self._type(module, field.annotation)
        value = self.value(module, field.value) if field.value else None
        if not kind or isinstance(value, (list, dict)) or (field.value is None and name not in self.arguments):
            raise NotConstantError(f"the argument `{name}` isn't set, or has another type", module.path, field)
        if name in self.arguments:
            try:
                value = convert_argument(self.arguments[name], kind)
            except ValueError:
                raise NotConstantError(f"the value of argument `{name}` is unknown", module.path, field) from None
        return self._constant(value, module, field)

    def _type(self, module: Module, node: ast.AST) -> str:
        """Return a built-in type in an annotation, such as `int`, `int | None`, or "" for other types."""
        match node:
            case ast.Name(id="bool" | "float" | "int" | "str" as kind) if kind not in module.bindings:
                return kind
            case ast.BinOp(op=ast.BitOr(), left=ast.Name() as inner, right=ast.Constant(value=None)):
                return f"{self._type(module, inner)} | None".removeprefix(" | None")
            case ast.Subscript(value=of, slice=ast.Name() as inner):
                optional = self._type(module, inner) if self.names.outside(module, of) == "typing.Optional" else ""
                return f"{optional} | None".removeprefix(" | None")
        return ""


_MODEL = "pydantic.BaseModel"


def _reads_attribute(module: Module, node: ast.expr) -> bool:
    around = module.parents.get(node)
    is_read = isinstance(around, ast.Attribute) and isinstance(around.ctx, ast.Load)
    is_read = is_read and getattr(around, "attr", "_")[:1] != "_"
    return isinstance(around, ast.expr) and is_read and getattr(module.parents.get(around), "func", 1) is not around


def keyword_of_service(program: Program, module: Module, node: ast.expr) -> str:
    """Return the name of the `@bentoml.service` argument whose value is `node`, or "" if there is none."""
    keyword = module.parents.get(node)
    call = module.parents.get(keyword) if isinstance(keyword, ast.keyword) else None
    if isinstance(keyword, ast.keyword) and call and isinstance(module.parents.get(call), ast.ClassDef):
        return keyword.arg or "" if program.receiver(module, node) == "bentoml.service" else ""
    return ""


_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_INT = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:e[+-]?[0-9]{1,2})?", re.IGNORECASE)


def convert_argument(value: object, annotation: str) -> Any:
    """Return an argument's value for a field with an annotation such as `int | None`, as pydantic converts it.

    Raises ValueError for a value that pydantic rejects, or that it might convert in another way.
    """
    kind, optional, _ = annotation.partition(" | ")
    if type(value).__name__ == kind or (optional and value is None):
        return value
    if isinstance(value, str) and kind == "bool" and value.isascii() and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    if isinstance(value, str) and kind == "int" and _INT.fullmatch(value):
        return int(value)
    if isinstance(value, str) and kind == "float" and _FLOAT.fullmatch(value):
        return float(value)
    if kind == "float" and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    raise ValueError
