"""Evaluates `bentoml.use_arguments`: the arguments of a Bento as they are, or through a model."""

from __future__ import annotations

import ast
import re

from rules_bento.service.python.arguments import named
from rules_bento.service.python.values import (
    Arguments,
    Class,
    Const,
    Dict,
    Function,
    ModelField,
    Opaque,
    Place,
    Sequence,
    Symbol,
    Value,
    Wrapped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.python.interpreter import Interpreter

_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})
_OF_EVERY_CLASS = frozenset({"__doc__", "__module__"})
# Arguments of `pydantic.Field` that say nothing of its value, and those that a value has to hold.
_WORDS = frozenset({"default", "deprecated", "description", "exclude", "repr", "title"})
_CONDITIONS = frozenset({"ge", "gt", "le", "lt", "max_length", "min_length", "multiple_of", "pattern"})
# Decorators of pydantic for what is written of a model.
_WRITERS = frozenset({"pydantic.field_serializer", "pydantic.model_serializer"})


def arguments_object(reader: Interpreter, model: Value | None, place: Place) -> Value:
    """Return what `use_arguments(model)` returns."""
    values = reader.arguments
    if model is None or (isinstance(model, Const) and model.value is None):
        return Arguments({name: _value(value, place) for name, value in values.items()}, place)
    if not isinstance(model, Class) or not _is_plain(reader, model):
        return Opaque("the model of its arguments is not plain", place, inert=True)
    fields: dict[str, Value] = {}
    for name, annotation in model.annotations.items():
        default = reader.force(model.attributes[name]) if name in model.attributes else None
        if name.startswith("_"):  # no argument, whatever it is
            fields[name] = Opaque(f"`{name}` is private to the model of its arguments", place, inert=True)
        elif isinstance(default, ModelField):
            value = default.default
            if name in values:
                value = _converted(values[name], "" if default.checked else _kind(annotation), name, place)
            fields |= {} if value is None else {name: value}
        elif default is not None and not isinstance(default, Const):
            why = f"the default of `{name}` in the model of its arguments is not plain"
            fields[name] = Opaque(why, place, inert=True)
        elif name in values:
            fields[name] = _converted(values[name], _kind(annotation), name, place)
        elif default is not None:
            fields[name] = default
    return Arguments(fields, place, model)


def model_field(args: list[Value], kwargs: dict[str, Value], place: Place) -> Value | None:
    """Return what `pydantic.Field` makes of a plain default; None where it says where a value comes from."""
    fields = named(["default"], args, kwargs)
    plain = all(isinstance(value, Const) for value in fields.values())
    if not plain or len(args) > 1 or not fields.keys() <= _WORDS | _CONDITIONS:
        return None
    default = fields.get("default")
    if isinstance(default, Const) and default.value is ...:
        default = None
    return ModelField("", place, inert=True, default=default, checked=bool(fields.keys() & _CONDITIONS))


def _is_plain(reader: Interpreter, model: Class) -> bool:
    """Return whether a model has annotated fields, and nothing that changes them as its object is made."""
    bases = [reader.force(base) for base in model.bases]
    if len(bases) != 1 or not isinstance(bases[0], Symbol) or bases[0].dotted != "pydantic.BaseModel":
        return False
    if model.spoiled or model.extended or model.assigned or "*" in model.attributes:
        return False
    own = {name: reader.force(value) for name, value in model.attributes.items() if name not in _OF_EVERY_CLASS}
    return all(name in model.annotations or _is_beside(name, value) for name, value in own.items())


def _is_beside(name: str, value: Value) -> bool:
    """Return whether an attribute leaves the fields of a model as they are: a method, or how it is written."""
    if isinstance(value, Const):
        return not name.startswith("__")
    if isinstance(value, Opaque):
        return value.origin in _WRITERS
    # pydantic calls this one of itself, and Python the others.
    return isinstance(value, (Function, Wrapped)) and name != "model_post_init" and not name.startswith("__")


def _kind(annotation: ast.expr) -> str:
    return annotation.id if isinstance(annotation, ast.Name) else ""


def _value(value: object, place: Place) -> Value:
    if isinstance(value, dict):
        return Dict({key: _value(inner, place) for key, inner in value.items()})
    if isinstance(value, (list, tuple)):
        return Sequence([_value(inner, place) for inner in value])
    if value is None or isinstance(value, (bool, int, float, str)):
        return Const(value)
    return Opaque("an argument of the Bento is no plain value", place, inert=True)


def _converted(value: object, kind: str, name: str, place: Place) -> Value:
    """Return an argument as pydantic makes it of a text or a value of YAML."""
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
