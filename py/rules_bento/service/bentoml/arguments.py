"""Evaluates `bentoml.use_arguments`: the arguments of a Bento as they are, or through a model."""

from __future__ import annotations

import ast
import re

from rules_bento.service.python.values import Arguments, Class, Const, Dict, Opaque, Place, Sequence, Symbol, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.python.interpreter import Interpreter

_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})


def arguments_object(reader: Interpreter, model: Value | None, place: Place) -> Value:
    """Return what `use_arguments(model)` returns."""
    values = reader.arguments
    if model is None or (isinstance(model, Const) and model.value is None):
        return Arguments({name: _value(value, place) for name, value in values.items()}, place)
    if not isinstance(model, Class) or not _is_plain(reader, model):
        return Opaque("the model of its arguments is not plain", place, inert=True)
    fields = {}
    for name, annotation in model.annotations.items():
        if name in values:
            fields[name] = _converted(values[name], annotation, name, place)
        elif name in model.attributes:
            fields[name] = reader.force(model.attributes[name])
    return Arguments(fields, place)


def _is_plain(reader: Interpreter, model: Class) -> bool:
    """Return whether a model has annotated fields with plain defaults, and nothing that computes or changes them."""
    bases = [reader.force(base) for base in model.bases]
    plain = [isinstance(base, Symbol) and base.dotted == "pydantic.BaseModel" for base in bases]
    own = [reader.force(value) for name, value in model.attributes.items() if not name.startswith("__")]
    return plain == [True] and not model.spoiled and all(isinstance(value, Const) for value in own)


def _value(value: object, place: Place) -> Value:
    if isinstance(value, dict):
        return Dict({key: _value(inner, place) for key, inner in value.items()})
    if isinstance(value, (list, tuple)):
        return Sequence([_value(inner, place) for inner in value])
    if value is None or isinstance(value, (bool, int, float, str)):
        return Const(value)
    return Opaque("an argument of the Bento is no plain value", place, inert=True)


def _converted(value: object, annotation: ast.expr, name: str, place: Place) -> Value:
    """Return an argument as pydantic makes it of a text or a value of YAML."""
    kind = annotation.id if isinstance(annotation, ast.Name) else ""
    match kind, value:
        case ("str", str()) | ("bool", bool()) | ("float", float()):
            return Const(value)
        case "int", int() if not isinstance(value, bool):
            return Const(value)
        case "int", str() if re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            return Const(int(value))
        case "float", str() if re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?", value):
            return Const(float(value))
        case "float", int() if not isinstance(value, bool):
            return Const(float(value))
        case "bool", str() if value.lower() in _TRUE | _FALSE:
            return Const(value.lower() in _TRUE)
    return Opaque(f"what the argument `{name}` becomes is not plain", place, inert=True)
