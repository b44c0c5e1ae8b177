"""Values of constant expressions: literals, names of such, and a few operations on them.

Unknown parts stay in a list or dict as `NotConstantError`s: as an item, under their key, or for `**x` under `REST`.
"""

from __future__ import annotations

import ast
import math

from rules_bento.errors import BentoError
from rules_bento.service.import_code import callee
from rules_bento.service.modules import FUNCTIONS, Definition, Kind, Module, Names, NotConstantError, unsupported
from rules_bento.service.sdk_names import words
from rules_bento.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.service.import_code import ImportCode

MAX_NODES = 100_000  # of all values that are expanded for one service
MAX_TEXT = 1 << 16  # characters of a string that an operation makes
_MAX_NUMBER = 1 << 64


REST = "**"  # the key of the unknown part of a dict; a source that uses this key is rejected
DEPENDS = ("bentoml.depends", "bentoml.Dependency")
_STRING_METHODS = {"lower": 0, "replace": 2, "strip": 0, "title": 0, "upper": 0}  # with the number of their arguments
# Arguments of `pydantic.Field` that leave the default as it is.
_FIELD = words(
    "default deprecated description exclude ge gt le lt max_length min_length multiple_of pattern repr title"
)
_SERIALIZERS = words("property pydantic.computed_field pydantic.field_serializer pydantic.model_serializer")


class Constants:
    """Evaluates constant expressions of the modules of one service."""

    def __init__(self, names: Names, code: ImportCode, arguments: Mapping[str, object]) -> None:
        self.names = names
        self.code = code
        self.arguments = arguments
        self._left = MAX_NODES
        self._evaluating: set[tuple[str, str]] = set()

    def _spend(self, nodes: int) -> None:
        """Count nodes of values. Raises BentoError when there are too many."""
        self._left -= nodes
        if self._left < 0:
            raise BentoError(
                f"the constants of the service expand to more than {MAX_NODES} values. "
                "Move constants that the import doesn't need into functions."
            )

    def value(self, module: Module, node: ast.expr) -> Any:
        """Return the value of an expression. Raises NotConstantError."""
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
                return self._text("".join(self._part(module, part) for part in parts), module, node)
            case ast.BinOp(op=ast.Add() | ast.Mult() as op, left=left, right=right):
                one, other = self.whole(module, left), self.whole(module, right)
                if isinstance(one, (int, float)) and isinstance(other, (int, float)):
                    return self._constant(one + other if isinstance(op, ast.Add) else one * other, module, node)
                if isinstance(op, ast.Add) and isinstance(one, str) and isinstance(other, str):
                    return self._text(one + other, module, node)
            case ast.Call(func=ast.Attribute(value=of, attr=method), args=args, keywords=[]):
                text, values = self.whole(module, of), [self.whole(module, each) for each in args]
                plain = all(isinstance(each, str) for each in [text, *values])
                if plain and _STRING_METHODS.get(method) == len(args) and len(text) * len("".join(values)) < MAX_TEXT:
                    return self._text(getattr(text, method)(*values), module, node)
        raise self._not_constant(module, node)

    def whole(self, module: Module, node: ast.expr) -> Any:
        """Return a value of which every part is known. Raises NotConstantError."""
        value = self.value(module, node)
        missing = first_unknown(value)
        if missing:
            raise missing
        return value

    def text(self, module: Module, node: ast.expr) -> str:
        """Return the value of an expression that is a string. Raises NotConstantError."""
        value = self.whole(module, node)
        if not isinstance(value, str):
            raise unsupported(module, node, "isn't a string")
        return value

    def _not_constant(self, module: Module, node: ast.AST) -> NotConstantError:
        return unsupported(module, node, "isn't a supported constant expression")

    def _constant(self, value: object, module: Module, node: ast.AST) -> Any:
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise NotConstantError("the string contains an unpaired surrogate", module.path, node)
        if isinstance(value, int) and abs(value) > _MAX_NUMBER:
            raise NotConstantError("the number has more than 64 bits", module.path, node)
        if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise NotConstantError("the value isn't a string, a number, a list, or a dict", module.path, node)

    def _list(self, module: Module, items: list[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for item in items:
            try:
                more = self.value(module, item.value if isinstance(item, ast.Starred) else item)
                if isinstance(item, ast.Starred) and not isinstance(more, list):
                    raise self._not_constant(module, item)
                values += more if isinstance(item, ast.Starred) else [more]
            except NotConstantError as error:
                values.append(error)
        return values

    def _dict(self, module: Module, keys: Sequence[ast.expr | None], items: list[ast.expr]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in zip(keys, items, strict=True):
            name: Any = REST
            try:
                if key is not None:
                    known = self.whole(module, key)
                    if not isinstance(known, str) or known == REST:
                        raise NotConstantError("a key of the dict isn't a string, or is `**`", module.path, key)
                    name = known
                more = self.value(module, item)
                if key is None and not isinstance(more, dict):
                    raise self._not_constant(module, item)
                values |= more if key is None else {name: more}
            except NotConstantError as error:
                values[name] = error
        return values

    def _part(self, module: Module, part: ast.expr) -> str:
        """Return a part of an f-string."""
        if isinstance(part, ast.FormattedValue) and part.format_spec is None and part.conversion == -1:
            part = part.value
        value = self.whole(module, part)
        if isinstance(value, (list, dict)):
            raise self._not_constant(module, part)
        return str(value)

    def _text(self, text: str, module: Module, node: ast.AST) -> str:
        if len(text) > MAX_TEXT:
            raise NotConstantError(f"the string has more than {MAX_TEXT} characters", module.path, node)
        self._spend(len(text) // 100)
        return text

    # Names

    def _named(self, module: Module, node: ast.Name | ast.Attribute) -> Any:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = self.names.resolve(module, node.value)
            call = owner.node
            called = isinstance(call, ast.Call) and self.names.outside(owner.module or module, call.func)
            if owner.module and isinstance(call, ast.Call) and called == "bentoml.use_arguments":
                self.code.require_uses(owner, self._reads_attribute)
                return self._argument(owner.module, node, call)
        definition = self.names.resolve(module, node)
        if definition.kind == Kind.OUTSIDE:
            raise NotConstantError(f"`{definition.name}` is defined outside the sources", module.path, node)
        if definition.kind != Kind.VALUE or definition.module is None:
            raise self._not_constant(module, node)
        if definition.key in self._evaluating:
            raise NotConstantError(f"the definition of `{definition.name}` is circular", module.path, node)
        self._evaluating.add(definition.key)
        try:
            assert isinstance(definition.node, ast.expr)
            value = self.value(definition.module, definition.node)
        finally:
            self._evaluating.discard(definition.key)
        if isinstance(value, (list, dict)) and len(list(self.code.uses(definition))) > 1:
            self.code.require_uses(definition, lambda by, use: self._only_reads(by, use, value))
        return value

    def _only_reads(self, module: Module, node: ast.expr, value: list[Any] | dict[str, Any]) -> bool:
        """Return whether a list or dict is unpacked, or an argument that services don't change."""
        if self.keyword_of_service(module, node) not in ("", "traffic", "endpoints"):
            return True
        around = self.code.parent(node)
        unpacked = isinstance(around, ast.Dict) and around.keys[around.values.index(node)] is None
        items = value.values() if isinstance(value, dict) else value
        flat = not any(isinstance(each, (list, dict, NotConstantError)) for each in items)
        return flat and (unpacked or isinstance(around, ast.Starred))

    def keyword_of_service(self, module: Module, node: ast.expr) -> str:
        """Return the argument of `@bentoml.service` that an expression is; empty if it is none."""
        keyword = self.code.parent(node)
        call = self.code.parent(keyword) if isinstance(keyword, ast.keyword) else None
        owner = self.code.parent(call) if isinstance(call, ast.Call) else None
        if not (isinstance(keyword, ast.keyword) and isinstance(call, ast.Call) and isinstance(owner, ast.ClassDef)):
            return ""
        self.require_service(Definition(Kind.CLASS, module, owner.name, owner))
        return keyword.arg or "" if self.names.outside(module, call.func) == "bentoml.service" else ""

    # Arguments of the Bento

    def _reads_attribute(self, _module: Module, node: ast.expr) -> bool:
        around = self.code.parent(node)
        call = self.code.parent(around) if isinstance(around, ast.Attribute) else None
        is_read = isinstance(around, ast.Attribute) and isinstance(around.ctx, ast.Load)
        return is_read and not (isinstance(call, ast.Call) and call.func is around)

    def _argument(self, module: Module, node: ast.Attribute, call: ast.Call) -> Any:
        """Return `args.field` of `args = bentoml.use_arguments(…)`."""
        if not call.args and not call.keywords:
            if node.attr not in self.arguments:
                why = f"the argument `{node.attr}` of the Bento isn't set with `args` or --arg"
                raise NotConstantError(why, module.path, node)
            return self._constant(self.arguments[node.attr], module, node)
        if len(call.args) != 1 or call.keywords:
            raise self._not_constant(module, call)
        model = self.names.resolve(module, call.args[0])
        of, module = model.node, model.module or module
        if not isinstance(of, ast.ClassDef) or of.keywords or of.decorator_list or len(of.bases) != 1:
            raise self._not_constant(module, call)
        if self.names.outside(module, of.bases[0]) != "pydantic.BaseModel":
            raise NotConstantError(f"`{of.name}` isn't a direct subclass of pydantic.BaseModel", module.path, of)
        self.code.require_uses(model, lambda by, use: self.receiver(by, use) == "bentoml.use_arguments")
        found = []
        for each in of.body:
            if isinstance(each, ast.AnnAssign):
                found += [each] if getattr(each.target, "id", "") == node.attr else []
            elif not self._leaves_fields(module, each, node.attr):
                raise NotConstantError(f"the model `{of.name}` might modify `{node.attr}`", module.path, each)
        value = self._default(module, node.attr, found[0]) if len(found) == 1 else []
        if isinstance(value, (list, dict)) or node.attr.startswith("_"):
            raise self._not_constant(module, node)
        return value

    def _leaves_fields(self, module: Module, statement: ast.stmt, field: str) -> bool:
        """Return whether a statement in the body of a model leaves its fields as they are."""
        if isinstance(statement, FUNCTIONS):
            decorators = [callee(each) for each in statement.decorator_list]
            known = {self.names.outside(module, each) or getattr(each, "id", "") for each in decorators}
            name = statement.name
            return name not in ("model_post_init", field) and not name.startswith("__") and known <= _SERIALIZERS
        is_plain = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        return is_plain or isinstance(statement, ast.Pass)

    def _default(self, module: Module, name: str, field: ast.AnnAssign) -> Any:
        """Return the argument as pydantic converts it, or else the default of its field."""
        default = field.value
        if isinstance(default, ast.Call) and self.names.outside(module, default.func) == "pydantic.Field":
            given = {each.arg: each.value for each in default.keywords}
            if name in self.arguments or not given.keys() <= _FIELD or len(default.args) > 1:
                raise self._not_constant(module, default)
            default = default.args[0] if default.args else given.get("default")
        if name in self.arguments:
            value, kind = self.arguments[name], getattr(field.annotation, "id", "")
            if kind == "int" and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
                value = int(value)
            if kind in ("bool", "float", "int", "str") and type(value).__name__ == kind not in module.bindings:
                return value
            raise NotConstantError(f"the value of argument `{name}` is unknown", module.path, field)
        if default is None or (isinstance(default, ast.Constant) and default.value is ...):
            raise NotConstantError(f"argument `{name}` of the Bento has no default and isn't set", module.path, field)
        return self.whole(module, default)

    # Services

    def require_service(self, definition: Definition) -> None:
        """Raise NotConstantError if code at import uses a service, other than as a dependency or an annotation."""
        for by, node in self.code.mentions.get(definition.key, ()):
            if self.receiver(by, node) not in DEPENDS and not self.code.in_annotation(node):
                raise NotConstantError(f"`{definition.name}` is used during the import", by.path, node)

    def receiver(self, module: Module, node: ast.expr) -> str:
        """Return the function of a library that an expression is an argument of; empty for anything else."""
        around = self.code.parent(node)
        around = self.code.parent(around) if isinstance(around, ast.keyword) else around
        return (isinstance(around, ast.Call) and self.names.outside(module, around.func)) or ""


def first_unknown(value: Any) -> NotConstantError | None:
    """Return the first part of a value that is not constant."""
    if isinstance(value, (list, dict)):
        items = value.values() if isinstance(value, dict) else value
        return next((error for error in map(first_unknown, items) if error), None)
    return value if isinstance(value, NotConstantError) else None
