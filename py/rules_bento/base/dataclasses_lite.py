"""Implements `dataclass` and `NamedTuple` with less startup time than the standard library.

The standard library imports `inspect` (40 million instructions), and compiles generated methods for each class (2 to 5
million instructions per class). This module shares methods between classes, and compiles `__init__` when the first
instance is created. Unlike `typing`, this module doesn't compile the annotations of a `NamedTuple`. Type checkers use
the definitions in the standard library. This module omits features that rules_bento doesn't use, such as slots.
"""

from __future__ import annotations

from collections import namedtuple
from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import asdict as asdict
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import fields as fields
    from dataclasses import replace as replace
    from typing import NamedTuple as NamedTuple
else:
    _FIELDS = "__record_fields__"
    _MISSING = object()
    _OWN_ATTRIBUTES = ("__annotations__", "__classcell__", "__dict__", "__weakref__")

    class _NamedTupleMeta(type):
        """Metaclass that converts direct subclasses of `NamedTuple` to classes of `collections.namedtuple`."""

        def __new__(cls, name, bases, namespace):
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            names = list(namespace.get("__annotations__", ()))
            defaults = [namespace.pop(each) for each in names if each in namespace]
            result = namedtuple(name, names, defaults=defaults, module=namespace["__module__"])
            for key, value in namespace.items():
                if key not in _OWN_ATTRIBUTES:
                    setattr(result, key, value)
            return result

    class NamedTuple(metaclass=_NamedTupleMeta):
        """Base class of tuples with named fields, like `typing.NamedTuple`."""

    class _Field:
        """The name, default, and flags of a field."""

        name = ""

        def __init__(self, default, make, shown, compare):
            self.default, self.make, self.repr, self.compare = default, make, shown, compare

    def field(*, default=_MISSING, default_factory=None, repr=True, compare=True):  # noqa: A002
        """Return a field specification, like `dataclasses.field`."""
        return _Field(default, default_factory, repr, compare)

    def dataclass(cls=None, /, *, frozen=False):
        """Convert a class to a data class, like `dataclasses.dataclass`. Inherits the fields of base classes."""
        if cls is None:
            return lambda cls: dataclass(cls, frozen=frozen)
        declared = dict(getattr(cls, _FIELDS, ()))
        for name in cls.__annotations__:
            declared[name] = _declared(cls, name)
        setattr(cls, _FIELDS, declared)
        cls.__match_args__ = tuple(declared)
        cls.__init__ = _compile_lazily(cls, frozen)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = _repr
        _compare(cls, frozen)
        if frozen:
            cls.__setattr__ = cls.__delattr__ = _reject_assignment
        return cls

    def _declared(cls, name):
        default = cls.__dict__.get(name, _MISSING)
        spec = default if isinstance(default, _Field) else field(default=default)
        spec.name = name
        if spec.default is not _MISSING:
            setattr(cls, name, spec.default)
        elif name in cls.__dict__:
            delattr(cls, name)
        return spec

    def _compile_lazily(cls, frozen):
        def __init__(self, *values, **named):
            cls.__init__ = _compile_init(cls, frozen)
            cls.__init__(self, *values, **named)

        return __init__

    def _compile_init(cls, frozen):
        parameters, lines, known = [], [], {"_missing": _MISSING, "_put": object.__setattr__}
        for name, spec in getattr(cls, _FIELDS).items():
            value = name
            known[f"_default_{name}"] = _MISSING if spec.make else spec.default
            known[f"_make_{name}"] = spec.make
            if spec.make:
                value = f"_make_{name}() if {name} is _missing else {name}"
            optional = spec.make or spec.default is not _MISSING
            parameters.append(f"{name}=_default_{name}" if optional else name)
            lines.append(f"_put(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
        text = f"def __init__({', '.join(['self', *parameters])}):\n {'; '.join(lines) or 'pass'}\n"
        exec(text, known)  # only names of fields of rules_bento's classes
        return known["__init__"]

    def _compare(cls, frozen):
        names = [name for name, spec in getattr(cls, _FIELDS).items() if spec.compare]
        values = attrgetter(*names) if names else lambda _: ()
        if "__eq__" not in cls.__dict__:
            cls.__eq__ = lambda self, other: values(self) == values(other) if type(other) is cls else NotImplemented
        if "__hash__" not in cls.__dict__:
            cls.__hash__ = (lambda self: hash(values(self))) if frozen else None

    def _reject_assignment(self, name, *_):
        raise AttributeError(f"cannot assign to field {name!r}")

    def _repr(self):
        shown = [f"{spec.name}={getattr(self, spec.name)!r}" for spec in fields(self) if spec.repr]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def fields(record):
        """Return the fields of a data class or of an instance, like `dataclasses.fields`."""
        return tuple(getattr(record, _FIELDS).values())

    def replace(record, /, **changes):
        """Return a copy of `record` in which `changes` replace the values of fields."""
        return type(record)(**{name: getattr(record, name) for name in record.__match_args__} | changes)

    def asdict(record):
        """Return a data class instance as a dict, with nested instances converted recursively."""
        return {spec.name: _plain(getattr(record, spec.name)) for spec in fields(record)}

    def _plain(value):
        if hasattr(type(value), _FIELDS):
            return asdict(value)
        if isinstance(value, dict):
            return {_plain(key): _plain(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(_plain, value))
        return type(value)(map(_plain, value)) if isinstance(value, (list, tuple)) else value
