"""Joins two ways through the code where they meet: what they agree on stays known, the rest becomes `Opaque`."""

from __future__ import annotations

from rules_bento.service.python.budget import spend
from rules_bento.service.python.reach import is_inert, opens
from rules_bento.service.python.values import (
    AsgiApp,
    Class,
    Const,
    DependsOn,
    Dict,
    Endpoint,
    Function,
    ImageSpec,
    Lazy,
    ModelRef,
    ModuleRef,
    Mounted,
    Mutable,
    Opaque,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Join:
    """Joins the values of two ways through the code; remembers pairs, so that one pair makes one object."""

    def __init__(self, otherwise: Opaque, fresh: int, force: Callable[[Value], Value]) -> None:
        self._otherwise = otherwise
        self._fresh = fresh
        self._force = force
        self._pairs: dict[tuple[int, int], Value] = {}
        self._keep: list[Value] = []

    def values(self, left: Value, right: Value) -> Value:
        """Return what both values have in common."""
        if left is right:
            return left
        lazy = isinstance(left, Lazy) and isinstance(right, Lazy)
        if lazy and (left.module, left.name) == (right.module, right.name):  # type: ignore[attr-defined]
            return left
        left, right = self._force(left), self._force(right)
        if left is right:
            return left
        spend(1)
        pair = (id(left), id(right))
        if pair not in self._pairs:
            self._keep += [left, right]
            # A value that holds itself meets this instead of going round for ever.
            self._pairs[pair] = self._opaque(left, right)
            self._pairs[pair] = self._meet(left, right)
        return self._pairs[pair]

    def _opaque(self, left: Value, right: Value) -> Opaque:
        why, place = self._otherwise.why, self._otherwise.place
        origins = [side.origin for side in (left, right) if isinstance(side, Opaque) and side.origin]
        inert = is_inert(left) and is_inert(right)
        open_ = opens(left) or opens(right)
        return Opaque(why, place, inert, origins[0] if origins else "", open_, (left, right))

    def _meet(self, left: Value, right: Value) -> Value:
        if type(left) is not type(right):
            return self._opaque(left, right)
        if isinstance(left, Mutable) and isinstance(right, Mutable):
            old = min(left.born, right.born) < self._fresh
            if old or left.spoiled or right.spoiled:
                return self._opaque(left, right)
        match left, right:
            case Const(value=a), Const(value=b) if type(a) is type(b) and a == b:
                return left
            case Symbol(dotted=x), Symbol(dotted=y) if x == y:
                return left
            case ModuleRef(name=x), ModuleRef(name=y) if x == y:
                return left
            case Opaque(), Opaque():
                return self._opaque(left, right)
            case Sequence(), Sequence() if len(left.items) == len(right.items) and left.kind == right.kind:
                return Sequence([self.values(a, b) for a, b in zip(left.items, right.items, strict=True)], left.kind)
            case Dict(), Dict():
                return self._dicts(left, right)
            case Function(), Function() if left.node is right.node and left.scope is right.scope:
                return left
            case _:
                return self._objects(left, right)

    def _objects(self, left: Value, right: Value) -> Value:
        match left, right:
            case ModelRef(), ModelRef() if (
                left.tag and right.tag and (left.stored, left.framework) == (right.stored, right.framework)
            ):
                tag = self.values(left.tag, right.tag)
                return ModelRef(tag, left.place, None, left.stored, left.framework)
            case DependsOn(), DependsOn():
                return DependsOn(self._fields(left.fields, right.fields), left.place)
            case Endpoint(), Endpoint() if left.is_task == right.is_task:
                stream = self.values(left.is_stream, right.is_stream)
                return Endpoint(self._fields(left.fields, right.fields), left.is_task, stream, left.place)
            case Mounted(), Mounted() if left.kind == right.kind:
                path, name = self.values(left.path, right.path), self.values(left.name, right.name)
                return Mounted(self.values(left.app, right.app), path, name, left.kind, left.place)
            case ImageSpec(), ImageSpec() if same_image(left, right):
                return left
            case Class(), Class() if left.name == right.name:
                return self._classes(left, right)
            case ServiceObject(), ServiceObject():
                return self._services(left, right)
            case AsgiApp(), AsgiApp():
                return AsgiApp([self._opaque(left, right)], left.place)
            case _:
                return self._opaque(left, right)

    def _dicts(self, left: Dict, right: Dict) -> Value:
        if list(left.items) != list(right.items):
            return self._opaque(left, right)
        return Dict({key: self.values(value, right.items[key]) for key, value in left.items.items()})

    def _fields(self, left: dict[str, Value], right: dict[str, Value]) -> dict[str, Value]:
        """Join fields by name; one that only one side has may be there or not."""
        nothing = Const(None)
        return {
            key: self.values(left.get(key, nothing), right.get(key, nothing))
            for key in [*left, *(key for key in right if key not in left)]
        }

    def _members(self, left: dict[str, Value], right: dict[str, Value]) -> dict[str, Value]:
        members: dict[str, Value] = {}
        for key in sorted({*left, *right}):
            if key in left and key in right:
                members[key] = self.values(left[key], right[key])
            else:
                # An attribute that may be missing: harmless where it could be no BentoML object anyway.
                present = left.get(key) or right[key]
                members[key] = self._opaque(present, present)
        return members

    def _classes(self, left: Class, right: Class) -> Value:
        same = len(left.bases) == len(right.bases)
        bases = [self.values(a, b) for a, b in zip(left.bases, right.bases, strict=False)]
        attributes = self._members(left.attributes, right.attributes)
        extended = left.extended or right.extended or (None if same else self._otherwise)
        return Class(left.name, bases, attributes, left.place, extended)

    def _services(self, left: ServiceObject, right: ServiceObject) -> Value:
        config = self._dicts(left.config, right.config)
        if not isinstance(config, Dict):
            config = Dict({})
            config.spoiled = self._otherwise
        mounts = left.mounts + right.mounts and [self._opaque(left, right)]
        return ServiceObject(
            left.variable,
            self.values(left.inner, right.inner),
            self._fields(left.fields, right.fields),
            config,
            self._members(left.members, right.members),
            [*left.open_ended, *right.open_ended],
            mounts,
            left.place,
            left.uncertain or right.uncertain,
        )


def same_image(left: ImageSpec, right: ImageSpec) -> bool:
    """Return whether two images are made by the same plain calls."""

    def rows(image: ImageSpec) -> list[tuple[str, list[object]]]:
        calls = [*image.calls, ("", [*image.arguments.values()])]
        return [(name, [plain_key(value) for value in values]) for name, values in calls]

    return list(left.arguments) == list(right.arguments) and rows(left) == rows(right)


def plain_key(value: Value) -> object:
    """Return something that is equal for equal literals, and for nothing else."""
    match value:
        case Const(value=inner):
            return (type(inner).__name__, inner)
        case Sequence(items=items) if not value.spoiled:
            return (value.kind, [plain_key(item) for item in items])
        case _:
            return value
