"""Evaluates constant expressions: literals, names of constants, and a few operations on constants.

In lists and dicts, an `UnknownValue` represents each unknown value. An unknown `**x` in a dict has the key `REST`.
"""

from __future__ import annotations

import ast
import operator
import re
from contextlib import suppress

from rules_bento.errors import BentoError
from rules_bento.service.import_code import ImportCode, callee
from rules_bento.service.modules import FUNCTIONS, Definition, Module, Names, NotConstantError, unsupported
from rules_bento.service.sdk_names import words
from rules_bento.typing_lite import Any, Callable, Mapping, Sequence

MAX_NODES = 100_000  # of all values that are expanded for one service
MAX_TEXT = 1 << 16  # characters of a string that an operation makes
_MAX_BITS = 256  # of a number
DEPENDS = ("bentoml.depends", "bentoml.Dependency")
_STRING_METHODS = {"lower": 0, "replace": 2, "strip": 0, "title": 0, "upper": 0}  # with the number of their arguments
_TEXT_METHODS = words("format join lower lstrip replace rstrip strip upper")
_SERIALIZERS = words("property pydantic.computed_field pydantic.field_serializer pydantic.model_serializer")
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Invert: operator.inv, ast.Not: operator.not_, ast.UAdd: operator.pos, ast.USub: operator.neg,
}  # fmt: skip
_UNARY_TYPES: dict[type[ast.unaryop], type] = {ast.Invert: int, ast.Not: object}
# Arguments of `pydantic.Field` that don't affect a value that is given.
_PLAIN_FIELD = words("default default_factory description examples title")


class UnknownValue:
    """A value that isn't a constant, in a list, a dict, or the arguments of a service."""

    def __init__(self, error: NotConstantError) -> None:
        self.error = error


class _Rest:
    """The type of `REST`, the key of the unknown part of a dict. No key in a source is equal to it."""


REST = _Rest()


class Constants:
    """Evaluates constant expressions in the modules of one service."""

    def __init__(self, names: Names, code: ImportCode, arguments: Mapping[str, object]) -> None:
        self.names = names
        self.code = code
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
        try:
            return self._value(module, node)
        except NotConstantError as error:
            if not isinstance(node, ast.Name):  # a name has the type of its definition
                error.type = self._type(module, node)
            raise

    def _type(self, module: Module, node: ast.expr) -> str:
        """Return `str` or `number` if the value of an expression certainly has this type or is None, else ""."""
        self._spend(1)
        match node:
            case ast.Constant(value=value) if not isinstance(value, bool):
                return "str" if isinstance(value, str) else "number" if isinstance(value, (int, float)) else ""
            case ast.JoinedStr():
                return "str"
            case ast.Subscript(value=of):
                return "str" if self.names.outside(module, of) == "os.environ" else ""
            case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=one, right=other):
                return self._common_type(module, [one, other])
            case ast.BoolOp(values=values):
                return self._common_type(module, values)
            case ast.Call(func=ast.Name(id=name)) if name not in module.bindings:
                return {"float": "number", "int": "number", "len": "number", "str": "str"}.get(name, "")
            case ast.Call(func=ast.Attribute(value=of, attr=attribute)) if attribute in _TEXT_METHODS:
                return self._type(module, of)
            case ast.Call(func=function, args=[_, *defaults]):
                is_read = self.names.outside(module, function) in ("os.environ.get", "os.getenv")
                return self._common_type(module, [ast.Constant(""), *defaults]) if is_read else ""
            case ast.Name():
                with suppress(NotConstantError):
                    definition = self.names.resolve(module, node)
                    if isinstance(definition.node, ast.expr) and not isinstance(definition.node, ast.Name):
                        return self._type(definition.module, definition.node)
        return ""

    def _common_type(self, module: Module, nodes: list[ast.expr]) -> str:
        types = {
            self._type(module, node) for node in nodes if not (isinstance(node, ast.Constant) and node.value is None)
        }
        return types.pop() if len(types) == 1 else ""

    def _value(self, module: Module, node: ast.expr) -> Any:
        self._spend(1)
        match node:
            case ast.Constant(value=value):
                return self._constant(value, module, node)
            case ast.Name() | ast.Attribute():
                return self._named(module, node)
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
                value = self.whole(module, part)
                if not isinstance(value, (list, dict)):
                    return str(value)
            case ast.UnaryOp(op=op, operand=operand):
                value = self.whole(module, operand)
                kinds = _UNARY_TYPES.get(type(op), (int, float))
                if isinstance(value, kinds) and not (isinstance(op, ast.Invert) and isinstance(value, bool)):
                    return self._constant(_UNARY[type(op)](value), module, node)
            case ast.BinOp(op=ast.Add() | ast.Mult() as op, left=left, right=right):
                one, other = self.whole(module, left), self.whole(module, right)
                if isinstance(op, ast.Add) and type(one) is type(other) is str:
                    return self._constant(one + other, module, node)
                if isinstance(one, (int, float)) and isinstance(other, (int, float)):
                    return self._constant(one + other if isinstance(op, ast.Add) else one * other, module, node)
            case ast.Call(func=ast.Attribute(value=of, attr=method), args=args, keywords=[]) if (
                method in _STRING_METHODS
            ):
                text, values = self.text(module, of), [self.text(module, each) for each in args]
                if _STRING_METHODS.get(method) == len(args) and len(text) * len("".join(values)) < MAX_TEXT:
                    return self._constant(getattr(text, method)(*values), module, node)
        raise unsupported(module, node)

    def whole(self, module: Module, node: ast.expr) -> Any:
        """Return the value of an expression. Raises NotConstantError if any part of the value is unknown."""
        value = self.value(module, node)
        missing = first_unknown(value)
        if missing:
            raise missing
        return value

    def text(self, module: Module, node: ast.expr) -> str:
        """Return the string value of an expression. Raises NotConstantError if the value isn't a known string."""
        value = self.whole(module, node)
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
            try:
                more = self.value(module, item.value if isinstance(item, ast.Starred) else item)
                if isinstance(item, ast.Starred) and not isinstance(more, list):
                    raise unsupported(module, item)
                values += more if isinstance(item, ast.Starred) else [more]
            except NotConstantError as error:
                values.append(UnknownValue(error))
        return values

    def _dict(self, module: Module, keys: Sequence[ast.expr | None], items: list[ast.expr]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in zip(keys, items, strict=True):
            name: Any = REST
            try:
                if key is not None:
                    known = self.whole(module, key)
                    if not isinstance(known, str):
                        raise NotConstantError("a key of the dict isn't a string", module.path, key)
                    name = known
                more = self.value(module, item)
                if key is None and not isinstance(more, dict):
                    raise unsupported(module, item)
                values |= more if key is None else {name: more}
            except NotConstantError as error:
                values[name] = UnknownValue(error)
        return values

    # Names

    def _named(self, module: Module, node: ast.Name | ast.Attribute) -> Any:
        if isinstance(node, ast.Attribute):
            return self._argument(module, node)
        definition = self.names.resolve(module, node)
        if not isinstance(definition.node, ast.expr) or self.code.is_local(node):
            raise unsupported(module, node)
        if definition.key in self._evaluating:
            raise NotConstantError(f"the definition of `{definition.name}` is circular", module.path, node)
        self._evaluating.add(definition.key)
        try:
            value = self.value(definition.module, definition.node)
        finally:
            self._evaluating.discard(definition.key)
        if isinstance(value, (list, dict)) and len(list(self.code.uses(definition))) > 1:
            self.code.require_uses(definition, lambda by, use: self._only_reads(by, use, value))
        return value

    def _only_reads(self, module: Module, node: ast.expr, value: list[Any] | dict[str, Any]) -> bool:
        """Return whether the expression `node` uses the list or dict `value` without modifying it."""
        if self.keyword_of_service(module, node) not in ("", "traffic", "endpoints"):
            return True
        around, items = self.code.parent(node), value.values() if isinstance(value, dict) else value
        pairs = zip(around.keys, around.values, strict=True) if isinstance(around, ast.Dict) else ()
        is_unpacked = isinstance(around, ast.Starred) or any(key is None and item is node for key, item in pairs)
        return is_unpacked and not any(isinstance(each, (list, dict, UnknownValue)) for each in items)

    def keyword_of_service(self, module: Module, node: ast.expr) -> str:
        """Return the name of the `@bentoml.service` argument whose value is `node`, or "" if there is none."""
        keyword = self.code.parent(node)
        owner = self.code.parent(self.code.parent(keyword))
        if not (isinstance(keyword, ast.keyword) and isinstance(owner, ast.ClassDef)):
            return ""
        self.require_service(Definition(module, owner.name, owner))
        return keyword.arg or "" if self.receiver(module, node) == "bentoml.service" else ""

    # Arguments of the Bento

    def _reads_attribute(self, _module: Module, node: ast.expr) -> bool:
        around = self.code.parent(node)
        is_read = isinstance(around, ast.Attribute) and isinstance(around.ctx, ast.Load)
        return is_read and getattr(self.code.parent(around), "func", None) is not around

    def _argument(self, module: Module, node: ast.Attribute) -> Any:
        """Return the value of a Bento argument such as `args.field`. Raises NotConstantError for an unknown value."""
        owner = self.names.resolve(module, node.value)
        call, module = owner.node, owner.module
        if not isinstance(call, ast.Call) or self.names.outside(module, call.func) != "bentoml.use_arguments":
            raise unsupported(module, node)
        self.code.require_uses(owner, self._reads_attribute)
        if not call.args and not call.keywords:
            if node.attr not in self.arguments:
                why = f"the argument `{node.attr}` of the Bento isn't set with `args` or --arg"
                raise NotConstantError(why, module.path, node, "arguments")
            return self._constant(self.arguments[node.attr], module, node)
        if len(call.args) != 1 or call.keywords:
            raise unsupported(module, call)
        model = self.names.resolve(module, call.args[0])
        of, module = model.node, model.module
        if not isinstance(of, ast.ClassDef) or of.keywords or of.decorator_list or len(of.bases) != 1:
            raise unsupported(module, call)
        if self.names.outside(module, of.bases[0]) != "pydantic.BaseModel":
            raise NotConstantError(
                f"`{of.name}` isn't a direct subclass of pydantic.BaseModel", module.path, of, "arguments"
            )
        self.code.require_uses(model, lambda by, use: self.receiver(by, use) == "bentoml.use_arguments")
        for each in of.body:
            is_text = isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
            if not (is_text or isinstance(each, ast.AnnAssign) or self._leaves_fields(module, each, node.attr)):
                raise NotConstantError(
                    f"the model `{of.name}` might modify `{node.attr}`", module.path, each, "arguments"
                )
        fields = [each for each in of.body if isinstance(each, ast.AnnAssign)]
        found = [each for each in fields if getattr(each.target, "id", "") == node.attr]
        value = self._default(module, node.attr, found[0]) if len(found) == 1 else []
        if isinstance(value, (list, dict)) or node.attr.startswith("_"):
            raise unsupported(module, node)
        return value

    def _leaves_fields(self, module: Module, statement: ast.stmt, field: str) -> bool:
        """Return whether a statement in a pydantic model's body defines a method that can't modify `field`."""
        if not isinstance(statement, FUNCTIONS) or statement.name in ("model_post_init", field):
            return False
        decorators = [callee(each) for each in statement.decorator_list]
        known = {self.names.outside(module, each) or getattr(each, "id", "") for each in decorators}
        return not statement.name.startswith("__") and known <= _SERIALIZERS

    def _default(self, module: Module, name: str, field: ast.AnnAssign) -> Any:
        """Return the value of a Bento argument, or the default in `field`. Raises NotConstantError if it is unknown."""
        default = field.value
        if name in self.arguments:
            with suppress(ValueError):
                if self._is_plain_default(module, default):
                    value = convert_argument(
                        self.arguments[name], field.annotation, lambda node: self._type_name(module, node)
                    )
                    return self._constant(value, module, field)
            raise NotConstantError(f"the value of argument `{name}` is unknown", module.path, field, "arguments")
        if default is None or (isinstance(default, ast.Constant) and default.value is ...):
            raise NotConstantError(f"argument `{name}` has no default and isn't set", module.path, field, "arguments")
        return self.whole(module, default)

    def _is_plain_default(self, module: Module, default: ast.expr | None) -> bool:
        """Return whether a field with this default is a field whose type alone determines how pydantic reads values."""
        if isinstance(default, ast.Call):
            is_field = self.names.outside(module, default.func) in ("pydantic.Field", "pydantic.fields.Field")
            return is_field and {each.arg for each in default.keywords} <= _PLAIN_FIELD
        return default is None or isinstance(default, ast.Constant) or bool(self.whole(module, default) or True)

    def _type_name(self, module: Module, node: ast.AST) -> str:
        known = getattr(node, "id", "")
        return self.names.outside(module, node) or (known if known not in module.bindings else "")

    # Services

    def require_service(self, definition: Definition) -> None:
        """Raise NotConstantError if the import might use a service, except as a dependency or in an annotation."""
        for by, node in self.code.mentions.get(definition.key, ()):
            if self.receiver(by, node) not in DEPENDS and not self.code.in_annotation(node):
                raise NotConstantError(f"`{definition.name}` is used during the import", by.path, node, "service-uses")

    def receiver(self, module: Module, node: ast.expr) -> str:
        """Return the dotted name of the library function that has `node` as an argument, or "" if there is none."""
        around = self.code.parent(node)
        around = self.code.parent(around) if isinstance(around, ast.keyword) else around
        return (isinstance(around, ast.Call) and self.names.outside(module, around.func)) or ""


def first_unknown(value: Any) -> NotConstantError | None:
    """Return the error of the first UnknownValue in `value` or its nested lists and dicts, or None."""
    if isinstance(value, (list, dict)):
        items = value.values() if isinstance(value, dict) else value
        return next((error for error in map(first_unknown, items) if error), None)
    return value.error if isinstance(value, UnknownValue) else None


_BOOLS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False}
_BOOLS |= {"t": True, "f": False, "y": True, "n": False}
_MAX_DIGITS = 4300
_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_INT = re.compile(r"([+-]?[0-9]+(?:_[0-9]+)*)(?:\.0+)?")
_FLOAT = re.compile(r"[+-]?(?:inf|infinity|nan|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)", re.IGNORECASE)


def convert_argument(value: object, annotation: ast.AST | None, name: Callable[[ast.AST], str]) -> Any:
    """Return an argument's value for a field with an annotation, as pydantic converts it in its lax mode.

    Raises ValueError if the value might differ in a version of pydantic 2.

    `name` returns the dotted name of a type: the name of a built-in type, or `typing.Optional`.
    """
    match annotation:
        case ast.BinOp(op=ast.BitOr(), left=kind, right=ast.Constant(value=None)):
            return None if value is None else convert_argument(value, kind, name)
        case ast.BinOp(op=ast.BitOr(), left=ast.Constant(value=None), right=kind):
            return None if value is None else convert_argument(value, kind, name)
        case ast.Subscript(value=of, slice=kind) if name(of) == "typing.Optional":
            return None if value is None else convert_argument(value, kind, name)
        case ast.Subscript(value=of, slice=ast.Tuple(elts=[kind, ast.Constant(value=None)])) if (
            name(of) == "typing.Union"
        ):
            return None if value is None else convert_argument(value, kind, name)
        case ast.Subscript(value=of, slice=choices) if name(of) in ("typing.Literal", "typing_extensions.Literal"):
            items = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            known = [each.value for each in items if isinstance(each, ast.Constant)]
            if len(known) == len(items) and [type(value), value] in [[type(each), each] for each in known]:
                return value
        case ast.Name():
            return _scalar(value, name(annotation))
    raise ValueError


def _scalar(value: object, kind: str) -> object:
    if kind in ("bool", "float", "int", "str") and type(value).__name__ == kind:
        return value
    if kind == "str" or not isinstance(value, (bool, float, int, str)):
        raise ValueError
    if isinstance(value, str):
        return _from_text(value, kind)
    if kind == "bool" and value in (0, 1):
        return bool(value)
    if kind == "int" and (isinstance(value, bool) or (float(value).is_integer() and abs(value) < 1 << 53)):
        return int(value)
    if kind == "float" and abs(value) < 1 << 1000:
        return float(value)
    raise ValueError


def _from_text(value: str, kind: str) -> object:
    if kind == "bool" and value.isascii() and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    text = value.strip(_SPACE)  # as Rust's `trim` does
    number = _INT.fullmatch(text)
    if kind == "int" and number and len(number[1]) <= _MAX_DIGITS:
        return int(number[1])
    if "_" in value and "__" not in value and value.strip("_") == value:
        text = value.replace("_", "")  # pydantic doesn't also trim the text
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    raise ValueError
