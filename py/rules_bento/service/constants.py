"""Values of constant expressions: literals, names of such, and a few operations on them.

The parts of a list or dict that are not constant stay in it as `NotConstantError`s, under their key or, for an unpacked
`**x` or `*x`, under `REST`. A list or dict that code at import may change is not constant.
"""

from __future__ import annotations

import ast
import math
import operator

from rules_bento.errors import BentoError
from rules_bento.service.bindings import (
    BUILTIN,
    CLASS,
    VALUE,
    Definition,
    Module,
    Names,
    NotConstantError,
    text_of,
)
from rules_bento.service.sdk_names import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rules_bento.service.import_code import ImportCode

MAX_NODES = 100_000  # of all values that are expanded for one service
MAX_TEXT = 1 << 16  # characters of a string that an operation makes
_MAX_NUMBER = 1 << 64


class _Rest(str):
    """Is the key of what a dict or list has beside the parts that are known; equal to no string of a source."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


REST = _Rest("**")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.FloorDiv: operator.floordiv,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
}
_STRING_METHODS = words("capitalize lower lstrip removeprefix removesuffix replace rstrip strip title upper")
# Methods that change nothing, and functions that leave what they are given as it is.
_READING = words("copy count get index items keys values")
_PURE = words("bool dict enumerate isinstance len list print repr str tuple zip")
_PURE_FOR_ITEMS = words("all any frozenset max min set sorted sum")
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})
# Arguments of `pydantic.Field` that decide nothing, and those that a value must satisfy.
_FIELD_WORDS = frozenset({"default", "deprecated", "description", "exclude", "repr", "title"})
_FIELD_CONDITIONS = frozenset({"ge", "gt", "le", "lt", "max_length", "min_length", "multiple_of", "pattern"})
_SERIALIZERS = ("property", "pydantic.computed_field", "pydantic.field_serializer", "pydantic.model_serializer")


class Scope:
    """Is where an expression is evaluated: a module, or the body of a class in it."""

    def __init__(
        self, module: Module, owner: ast.ClassDef | None = None, names: Mapping[str, list[ast.stmt]] = {}
    ) -> None:
        self.module = module
        self.owner = owner
        self.names = names

    def holds(self, node: ast.AST) -> bool:
        """Return whether an expression is a name that the class body has bound above it."""
        statements = self.names.get(node.id, ()) if isinstance(node, ast.Name) else ()
        return any(each.lineno < node.lineno for each in statements)  # type: ignore[attr-defined]


class Constants:
    """Evaluates constant expressions of the modules of one service."""

    def __init__(self, names: Names, code: ImportCode, arguments: Mapping[str, object]) -> None:
        self.names = names
        self.code = code
        self.arguments = arguments
        self._left = MAX_NODES
        self._evaluating: set[tuple[str, str]] = set()
        self._unchanged: dict[tuple[str, str], NotConstantError | None] = {}

    def spend(self, nodes: int) -> None:
        """Count nodes of values. Raises BentoError when there are too many."""
        self._left -= nodes
        if self._left < 0:
            raise BentoError(
                f"the constants of the service expand to more than {MAX_NODES} values. "
                "Move what the service does not need at import into functions."
            )

    # Values

    def value(self, scope: Scope, node: ast.expr) -> Any:
        """Return the value of an expression. Raises NotConstantError."""
        self.spend(1)
        module = scope.module
        match node:
            case ast.Constant(value=value):
                return self._constant(value, module, node)
            case ast.Name() | ast.Attribute():
                return self._named(scope, node)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._list(scope, items)
            case ast.Dict():
                return self._dict(scope, zip(node.keys, node.values, strict=True))
            case ast.JoinedStr(values=parts):
                return self._joined(scope, parts)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                number = self.value(scope, operand)
                if isinstance(number, (int, float)) and not isinstance(number, bool):
                    return -number
            case ast.BinOp(op=op, left=left, right=right):
                return self._operation(scope, node, op, self.value(scope, left), self.value(scope, right))
            case ast.Subscript(value=of, slice=key) if not self.names.outside(module, of):
                return self._item(scope, node, self.value(scope, of), self.whole(scope, key))
            case ast.Call(func=ast.Name(id="dict"), args=args, keywords=keywords) if self._is_builtin(scope, "dict"):
                pairs: list[tuple[ast.expr | None, ast.expr]] = [(None, each) for each in args]
                pairs += [(ast.Constant(value=each.arg) if each.arg else None, each.value) for each in keywords]
                if len(args) <= 1:
                    return self._dict(scope, pairs)
            case ast.Call(func=ast.Name(id="str"), args=[of], keywords=[]) if self._is_builtin(scope, "str"):
                value = self.whole(scope, of)
                if not isinstance(value, (list, dict)):
                    return str(value)
            case ast.Call(func=ast.Attribute(value=of, attr=method), args=args, keywords=[]) if (
                method in _STRING_METHODS or method == "join"
            ):
                return self._method(scope, node, self.value(scope, of), method, [self.whole(scope, a) for a in args])
        raise self._not_constant(scope, node)

    def _not_constant(self, scope: Scope, node: ast.AST) -> NotConstantError:
        return NotConstantError(f"`{text_of(node)}` isn't a supported constant expression", scope.module.path, node)

    def _constant(self, value: object, module: Module, node: ast.AST) -> Any:
        if isinstance(value, str):
            return checked_text(value, module.path, node)
        if isinstance(value, int) and abs(value) > _MAX_NUMBER:
            raise NotConstantError("it is a number of more than 64 bits", module.path, node)
        if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise NotConstantError("it isn't a string, a number, a list, or a dict", module.path, node)

    def whole(self, scope: Scope, node: ast.expr) -> Any:
        """Return a value of which every part is known. Raises NotConstantError."""
        value = self.value(scope, node)
        missing = first_unknown(value)
        if missing:
            raise missing
        return value

    def _list(self, scope: Scope, items: list[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for item in items:
            try:
                if isinstance(item, ast.Starred):
                    more = self.value(scope, item.value)
                    if not isinstance(more, list):
                        raise self._not_constant(scope, item)
                    self.spend(size_of(more))
                    values += more
                else:
                    values.append(self.value(scope, item))
            except NotConstantError as error:
                values.append((REST, error) if isinstance(item, ast.Starred) else error)
        return values

    def _dict(self, scope: Scope, pairs: Any) -> dict[Any, Any]:
        values: dict[Any, Any] = {}
        for key, item in pairs:
            try:
                if key is None:
                    more = self.value(scope, item)
                    if not isinstance(more, dict):
                        raise self._not_constant(scope, item)
                    self.spend(size_of(more))
                    values |= more
                    continue
                name = self.whole(scope, key)
                if not isinstance(name, str):
                    values[name if isinstance(name, (int, float)) else None] = NotConstantError(
                        "a key of it isn't a string", scope.module.path, key
                    )
                    continue
            except NotConstantError as error:
                values[REST] = error
                continue
            try:
                values[name] = self.value(scope, item)
            except NotConstantError as error:
                values[name] = error
        return values

    def _joined(self, scope: Scope, parts: list[ast.expr]) -> str:
        texts: list[str] = []
        for part in parts:
            if isinstance(part, ast.Constant):
                texts.append(str(part.value))
            elif isinstance(part, ast.FormattedValue) and part.format_spec is None and part.conversion in (-1, 115):
                value = self.whole(scope, part.value)
                if isinstance(value, (list, dict)):
                    raise self._not_constant(scope, part)
                texts.append(str(value))
            else:
                raise self._not_constant(scope, part)
        return self._text("".join(texts), scope, parts[0])

    def _text(self, text: str, scope: Scope, node: ast.AST) -> str:
        if len(text) > MAX_TEXT:
            raise NotConstantError(f"it is a string of more than {MAX_TEXT} characters", scope.module.path, node)
        self.spend(len(text) // 100)
        return text

    def _operation(self, scope: Scope, node: ast.AST, op: ast.operator, left: Any, right: Any) -> Any:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if type(op) in _OPERATORS and numbers:
            try:
                return self._constant(_OPERATORS[type(op)](left, right), scope.module, node)
            except ArithmeticError:
                pass
        elif isinstance(op, ast.Add) and type(left) is type(right) and isinstance(left, (str, list)):
            self.spend(size_of(left) + size_of(right))
            return self._text(left + right, scope, node) if isinstance(left, str) else left + right
        elif isinstance(op, ast.BitOr) and isinstance(left, dict) and isinstance(right, dict):
            self.spend(size_of(left) + size_of(right))
            return left | right
        raise self._not_constant(scope, node)

    def _item(self, scope: Scope, node: ast.AST, of: Any, key: Any) -> Any:
        try:
            by_name = isinstance(of, dict) and isinstance(key, str)
            by_index = isinstance(of, (list, str)) and isinstance(key, int)
            if not (by_name or by_index) or has_rest(of):
                raise self._not_constant(scope, node)
            value: Any = of[key]
        except LookupError:
            raise self._not_constant(scope, node) from None
        if isinstance(value, NotConstantError):
            raise self._not_constant(scope, node)
        return value

    def _method(self, scope: Scope, node: ast.AST, of: Any, method: str, args: list[Any]) -> str:
        if not isinstance(of, str):
            raise self._not_constant(scope, node)
        if method == "join":
            parts: list[Any] = args[0] if len(args) == 1 and isinstance(args[0], list) else [None]
            if all(isinstance(each, str) for each in parts):
                size = sum(map(len, parts)) + len(of) * len(parts)
                return (
                    self._text(of.join(parts), scope, node) if size <= MAX_TEXT else self._text("x" * size, scope, node)
                )
        elif all(isinstance(each, str) for each in args) and len(args) <= 2:
            if method == "replace" and len(args) == 2 and of.count(args[0]) * len(args[1]) > MAX_TEXT:
                raise NotConstantError(f"it is a string of more than {MAX_TEXT} characters", scope.module.path, node)
            try:
                return self._text(getattr(of, method)(*args), scope, node)
            except TypeError:
                pass
        raise self._not_constant(scope, node)

    def _is_builtin(self, scope: Scope, name: str) -> bool:
        return name not in scope.names and name not in scope.module.bindings

    # Names

    def _named(self, scope: Scope, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and scope.holds(node):
            return self._of_class(scope, node)
        if isinstance(node, ast.Name) and node.id == "__name__" and self._is_builtin(scope, "__name__"):
            return scope.module.name
        if isinstance(node, ast.Attribute):
            found = self._argument(scope, node) or self._class_constant(scope, node)
            if found:
                return found[0]
        definition = self.names.resolve(scope.module, node)
        if definition.kind != VALUE:
            if definition.kind not in (BUILTIN, CLASS) and "." in definition.name:
                raise NotConstantError(f"`{definition.name}` is outside the sources", scope.module.path, node)
            raise self._not_constant(scope, node)
        return self.of_definition(definition, node, scope.module)

    def of_definition(self, definition: Definition, node: ast.AST, module: Module) -> Any:
        """Return the value of a constant of a module."""
        assert definition.module is not None
        if definition.key in self._evaluating:
            raise NotConstantError("it is defined by itself", module.path, node)
        self._evaluating.add(definition.key)
        try:
            assert isinstance(definition.node, ast.expr)
            value = self.value(Scope(definition.module), definition.node)
        finally:
            self._evaluating.discard(definition.key)
        if isinstance(value, (list, dict)):
            self.require_unchanged(definition, is_flat(value))
        return value

    def _of_class(self, scope: Scope, node: ast.Name) -> Any:
        """Return the value of a name of the class body around an expression."""
        match scope.names[node.id]:
            case [ast.Assign(value=value) | ast.AnnAssign(value=value)] if value and value.lineno < node.lineno:
                found = self.value(scope, value)
                if not isinstance(found, (list, dict)):
                    return found
        raise self._not_constant(scope, node)

    def _class_constant(self, scope: Scope, node: ast.Attribute) -> tuple[Any] | None:
        """Return `Settings.TIMEOUT` of a class that has only such assignments."""
        try:
            definition = self.names.resolve(scope.module, node.value)
        except NotConstantError:
            return None
        if definition.kind != CLASS:
            return None
        of, module = definition.node, definition.module
        assert isinstance(of, ast.ClassDef)
        assert module is not None
        if not of.decorator_list and not of.bases and not of.keywords and all(map(_is_plain_statement, of.body)):
            values = [getattr(each, "value", None) for each in of.body if _assigned(each) == node.attr]
            if len(values) == 1 and values[0] is not None:
                self.require_unchanged(definition, flat=True)
                value = self.value(Scope(module, of), values[0])
                if not isinstance(value, (list, dict)):
                    return (value,)
        return None

    # Arguments of the Bento

    def _argument(self, scope: Scope, node: ast.Attribute) -> tuple[Any] | None:
        """Return `args.field` of `args = bentoml.use_arguments(…)`; None for anything else."""
        try:
            definition = self.names.resolve(scope.module, node.value)
        except NotConstantError:
            return None
        call, module = definition.node, definition.module
        if definition.kind != VALUE or module is None or not isinstance(call, ast.Call):
            return None
        if self.names.outside(module, call.func) != "bentoml.use_arguments":
            return None
        self.require_unchanged(definition, flat=True)
        given = [*call.args, *(each.value for each in call.keywords if each.arg == "model")]
        if not given and not call.keywords:
            if node.attr not in self.arguments:
                why = f"no argument `{node.attr}` of the Bento is given, as `args` or --arg gives one"
                raise NotConstantError(why, scope.module.path, node)
            return (self._constant(self.arguments[node.attr], scope.module, node),)
        if len(given) != 1 or len(call.args) + len(call.keywords) != 1:
            raise self._not_constant(scope, node)
        value = self._field(scope, node, self.names.resolve(module, given[0]))
        if isinstance(value, (list, dict)):
            raise self._not_constant(scope, node)
        return (value,)

    def _field(self, scope: Scope, node: ast.Attribute, model: Definition) -> Any:
        """Return a field of the model of the arguments: its default, or the argument as pydantic converts it."""
        if model.kind != CLASS or model.module is None:
            raise self._not_constant(scope, node)
        of, module = model.node, model.module
        assert isinstance(of, ast.ClassDef)
        bases = [self.names.outside(module, base) for base in of.bases]
        if bases != ["pydantic.BaseModel"] or of.keywords or of.decorator_list:
            raise NotConstantError(f"the model `{of.name}` isn't a plain pydantic.BaseModel", module.path, of)
        self.require_unchanged(model, flat=True)
        found = [each for each in of.body if _assigned(each) == node.attr]
        for each in of.body:
            if not _is_plain_statement(each) and not self._is_reader(module, each, node.attr):
                raise NotConstantError(f"the model `{of.name}` may change `{node.attr}`", module.path, each)
        if len(found) != 1 or not isinstance(found[0], ast.AnnAssign) or node.attr.startswith("_"):
            raise self._not_constant(scope, node)
        return self._default(Scope(module), node.attr, found[0])

    def _is_reader(self, module: Module, statement: ast.stmt, field: str) -> bool:
        """Return whether a method of a model leaves its fields as they are."""
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return False
        names = [each.func if isinstance(each, ast.Call) else each for each in statement.decorator_list]
        known = [self.names.outside(module, each) or getattr(each, "id", "") for each in names]
        name = statement.name
        return name not in ("model_post_init", field) and not name.startswith("__") and set(known) <= set(_SERIALIZERS)

    def _default(self, scope: Scope, name: str, field: ast.AnnAssign) -> Any:
        default, checked = field.value, False
        if isinstance(default, ast.Call) and self.names.outside(scope.module, default.func) in (
            "pydantic.Field",
            "pydantic.fields.Field",
        ):
            words = {each.arg: each.value for each in default.keywords}
            checked = bool(words.keys() & _FIELD_CONDITIONS)
            if not words.keys() <= _FIELD_WORDS | _FIELD_CONDITIONS or len(default.args) > 1:
                raise self._not_constant(scope, default)
            default = default.args[0] if default.args else words.get("default")
        if name in self.arguments:
            kind = field.annotation.id if isinstance(field.annotation, ast.Name) and not checked else ""
            if kind in scope.module.bindings:
                kind = ""
            return self._converted(self.arguments[name], kind, name, scope, field)
        if default is None or (isinstance(default, ast.Constant) and default.value is ...):
            raise NotConstantError(
                f"argument `{name}` of the Bento has no default and isn't given", scope.module.path, field
            )
        return self.whole(scope, default)

    def _converted(self, value: object, kind: str, name: str, scope: Scope, field: ast.AST) -> Any:
        """Return an argument as pydantic converts a string or a value of YAML."""
        try:
            match kind, value:
                case ("str", str()) | ("bool", bool()) | ("float", float()):
                    return value
                case ("int", int()) if not isinstance(value, bool):
                    return value
                case ("int", str()) if len(value) < 19 and value.lstrip("+-").isascii() and value[-1:].isdigit():
                    return int(value)
                case ("float", str()) if len(value) < 19 and set(value) <= set("0123456789.+-"):
                    return float(value)
                case ("float", int()) if not isinstance(value, bool):
                    return float(value)
                case ("bool", str()) if value.lower() in _TRUE | _FALSE:
                    return value.lower() in _TRUE
        except ValueError:
            pass
        raise NotConstantError(f"what argument `{name}` becomes isn't certain", scope.module.path, field)

    # Changes

    def require_unchanged(self, definition: Definition, flat: bool) -> None:
        """Raise NotConstantError if code at import may change a list, dict, or class; `flat` has none below it."""
        key = definition.key
        if key not in self._unchanged:
            self._unchanged[key] = None
            self._unchanged[key] = self._change(key, definition, flat)
        error = self._unchanged[key]
        if error:
            raise error

    def _change(self, key: tuple[str, str], definition: Definition, flat: bool) -> NotConstantError | None:
        of_class = not isinstance(definition.node, (ast.List, ast.Dict, ast.Tuple)) and (
            definition.kind == CLASS
            or (isinstance(definition.node, ast.Call) and getattr(definition.node.func, "id", "") != "dict")
        )
        for module, node in self.code.mentions.get(key, ()):
            if not self._only_reads(module, node, flat, of_class):
                return NotConstantError(f"`{definition.name}` may be changed", module.path, node)
        return None

    def _only_reads(self, module: Module, node: ast.AST, flat: bool, of_class: bool) -> bool:
        """Return whether code around a mention of a value changes neither it nor, if not `flat`, what is in it.

        `of_class` says that the value is a class, or the arguments of the Bento: reading an attribute is harmless.
        """
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            return not isinstance(self.code.parent(node), ast.AugAssign)  # else `Module.bindings` has it
        for around in self.code.parents(node):
            match around:
                case ast.Attribute():
                    call = self.code.parent(around)
                    is_call = isinstance(call, ast.Call) and call.func is around
                    if not isinstance(around.ctx, ast.Load) or is_call is of_class:
                        return False
                    if of_class or (flat and around.attr in _READING):
                        return True
                    if around.attr not in _READING:
                        return False
                case ast.Subscript():
                    if not isinstance(around.ctx, ast.Load) or around.slice is node or of_class:
                        return of_class and self.code.in_annotation(node)
                    if flat:
                        return True
                case ast.FormattedValue() | ast.Expr() | ast.If() | ast.While() | ast.Assert():
                    return True
                case ast.Compare():
                    others = (each for each in [around.left, *around.comparators] if each is not node)
                    return all(isinstance(each, (ast.Constant, ast.Name)) for each in others)
                case ast.For() | ast.AsyncFor() | ast.comprehension() if flat:
                    return True
                case ast.BinOp():
                    other = around.right if around.left is node else around.left
                    if not isinstance(other, (ast.Dict, ast.List, ast.Constant)) and not self._is_data(module, other):
                        return False
                case ast.Call():
                    if around.func is not node and not self._is_harmless_call(module, around, flat):
                        return False
                    if (self.names.outside(module, around.func) or "").startswith("bentoml.") or (
                        flat and around.func is not node
                    ):
                        return True
                case ast.keyword():
                    if flat and around.arg is None:
                        return True
                    call = self.code.parent(around)
                    if around.arg in (None, "traffic", "endpoints") and self._is_completed(module, call):
                        return False
                case ast.Starred() if flat:
                    return True
                case ast.Dict() if flat and around.keys[around.values.index(node)] is None:  # type: ignore[arg-type]
                    return True
                case ast.Dict() | ast.List() | ast.Tuple() | ast.Starred():
                    flat = False
                case ast.BoolOp() | ast.IfExp():
                    pass
                case ast.Assign() | ast.AnnAssign():
                    return not of_class and self._is_unchanged_copy(module, around)
                case _:
                    return self.code.in_annotation(node)
            node = around
        return False

    def _is_data(self, module: Module, node: ast.expr) -> bool:
        """Return whether an expression is a name of a list or dict that is written out."""
        try:
            definition = self.names.resolve(module, node)
        except NotConstantError:
            return False
        return definition.kind == VALUE and isinstance(definition.node, (ast.Dict, ast.List, ast.Constant))

    def _is_harmless_call(self, module: Module, call: ast.Call, flat: bool) -> bool:
        if self.is_service_decorator(module, call):
            decorated = self.code.parent(call)
            return isinstance(decorated, ast.ClassDef) and self.service_is_unchanged(module, decorated)
        if (self.names.outside(module, call.func) or "").startswith("bentoml."):
            return True
        if not isinstance(call.func, ast.Name) or call.func.id in module.bindings:
            return False
        return call.func.id in _PURE or (flat and call.func.id in _PURE_FOR_ITEMS)

    def _is_completed(self, module: Module, call: ast.AST | None) -> bool:
        """Return whether BentoML adds to the `traffic` or the `endpoints` that a service is given."""
        decorated = self.code.parent(call) if isinstance(call, ast.Call) else None
        if not isinstance(call, ast.Call) or not isinstance(decorated, ast.ClassDef):
            return False
        if any(each.arg == "path_prefix" for each in call.keywords):
            return True
        decorators = (each for node in decorated.body for each in getattr(node, "decorator_list", ()))
        functions = (each.func if isinstance(each, ast.Call) else each for each in decorators)
        return any(self.names.outside(module, each) == "bentoml.task" for each in functions)

    def is_service_decorator(self, module: Module, call: ast.Call) -> bool:
        """Return whether a call is `bentoml.service(…)`."""
        return self.names.outside(module, call.func) == "bentoml.service"

    def _is_unchanged_copy(self, module: Module, statement: ast.Assign | ast.AnnAssign) -> bool:
        """Return whether a value that is made of another one is changed nowhere."""
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or self.code.parent(statement) is not None:
            return False
        try:
            definition = self.names.resolve(module, ast.copy_location(ast.Name(targets[0].id, ast.Load()), targets[0]))
            self.require_unchanged(definition, flat=False)
        except NotConstantError:
            return False
        return True

    def service_is_unchanged(self, module: Module, node: ast.ClassDef) -> bool:
        """Return whether code at import may change no service of a class statement."""
        try:
            self.require_service_unchanged(module, node)
        except NotConstantError:
            return False
        return True

    def require_service_unchanged(self, module: Module, node: ast.ClassDef) -> None:
        """Raise NotConstantError if code at import uses a service for more than a dependency or an annotation."""
        key = (module.name, node.name)
        if key not in self._unchanged:
            self._unchanged[key] = None
            for by, mention in self.code.mentions.get(key, ()):
                if not self.is_reference(by, mention):
                    self._unchanged[key] = NotConstantError(f"`{node.name}` is used at import", by.path, mention)
                    break
        error = self._unchanged[key]
        if error:
            raise error

    def is_reference(self, module: Module, node: ast.expr) -> bool:
        """Return whether a mention of a service makes it a dependency, names it again, or is in an annotation."""
        around = self.code.parent(node)
        if isinstance(around, ast.keyword):
            around = self.code.parent(around)
        match around:
            case ast.Call():
                return self.names.outside(module, around.func) in ("bentoml.depends", "bentoml.Dependency")
            case ast.Assign():
                return self._is_unchanged_name(module, around)
        return self.code.in_annotation(node)

    def _is_unchanged_name(self, module: Module, statement: ast.Assign) -> bool:
        """Return whether another name of a service is only referred to."""
        target = statement.targets[0]
        if not isinstance(target, ast.Name) or self.code.parent(statement) is not None or len(statement.targets) > 1:
            return False
        mentions = self.code.mentions.get((module.name, target.id), ())
        return all(node is target or self.is_reference(by, node) for by, node in mentions)


def checked_text(text: str, path: str, node: ast.AST) -> str:
    """Return a string that documents can hold. Raises BentoError for half of a surrogate pair, which none can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        line = getattr(node, "lineno", 1)
        raise BentoError(
            f"{path}:{line}: {text[:100]!a} of this service has half of a surrogate pair. Write the character."
        ) from None
    return text


def first_unknown(value: Any) -> NotConstantError | None:
    """Return the first part of a value that is not constant."""
    if isinstance(value, NotConstantError):
        return value
    if isinstance(value, (list, tuple)):
        return next((error for error in map(first_unknown, value) if error), None)
    if isinstance(value, dict):
        return next((error for error in map(first_unknown, value.values()) if error), None)
    return None


def has_rest(value: Any) -> bool:
    """Return whether a list or dict has parts of which not even the number is known."""
    if isinstance(value, dict):
        return REST in value
    return isinstance(value, list) and any(isinstance(each, tuple) for each in value)


def size_of(value: Any) -> int:
    """Return the number of nodes of a value."""
    if isinstance(value, dict):
        return 1 + sum(map(size_of, value.values()))
    return 1 + sum(map(size_of, value)) if isinstance(value, list) else 1


def is_flat(value: Any) -> bool:
    """Return whether a list or dict has no other one in it."""
    return not any(isinstance(each, (list, dict)) for each in (value.values() if isinstance(value, dict) else value))


def _assigned(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def _is_plain_statement(statement: ast.stmt) -> bool:
    """Return whether a statement of a class body only assigns, documents, or does nothing."""
    return (
        bool(_assigned(statement))
        or isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    )
