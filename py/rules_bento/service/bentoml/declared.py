"""The rule's attributes in place of what the source does not state, and the refusal without them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from rules_bento.errors import BentoError
from rules_bento.service.facts import Dependency, Service, ServiceInfo, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_HOW = {
    "services": 'as {"<service name>": ["<names of the services it depends on>"]}, the entry service first',
    "models": "as a list of the `bento_model` targets that it uses",
}
_CAPITALS = re.compile(r"([A-Z]+)(?=[a-z0-9])")


def bento_name_of(name: str) -> str:
    """Give the Bento name that BentoML derives from a service's name."""

    def lower(match: re.Match[str]) -> str:
        word = match.group().lower()
        return f"_{word[:-1]}_{word[-1]}" if len(word) > 1 else f"_{word}"

    return _CAPITALS.sub(lower, name).lstrip("_").lower()


@dataclass(frozen=True)
class Declared:
    """What a target declares; None is an attribute that is not set."""

    services: Mapping[str, Sequence[str]] | None
    bento_name: str | None
    models: Collection[str] | None
    envs: Collection[str] | None
    labels: Collection[str] | None
    image: object


def apply(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Put declared facts in place and drop the unknowns that they answer.

    Raises:
        BentoError: declared services contradict what the source states plainly.

    """
    if declared.services is not None and info.kind == "new":
        info = _with_services(info, declared.services)
    if declared.bento_name is not None:
        info = replace(info, bento_name=declared.bento_name)
    left = tuple(unknown for unknown in info.unknowns if not _answered(unknown, declared))
    return replace(info, unknowns=left)


def _answered(unknown: Unknown, declared: Declared) -> bool:
    given = {
        "services": declared.services,
        "bento_name": declared.bento_name,
        "models": declared.models,
        "image": declared.image,
        "envs": declared.envs,
        "labels": declared.labels,
    }.get(unknown.attribute)
    if given is None:
        return False
    _, _, key = unknown.fact.partition(".")
    if unknown.attribute in ("envs", "labels") and key:
        return key in (declared.envs if unknown.attribute == "envs" else declared.labels or ())  # type: ignore[operator]
    return True


def _with_services(info: ServiceInfo, declared: Mapping[str, Sequence[str]]) -> ServiceInfo:
    entry = info.entry_service or _entry(declared)
    if entry not in declared:
        raise BentoError(
            f"attribute `services` has no entry for `{entry}`, the entry service of {info.service}; "
            f"it has {_listed(declared)}. Add `{entry}`."
        )
    for name, on in declared.items():
        missing = [other for other in on if other not in declared]
        if missing:
            raise BentoError(
                f"attribute `services`: `{name}` depends on {_listed(missing)}, which has no entry of its own. "
                "Give each service an entry, with an empty list where it depends on none."
            )
    order = _order(entry, declared)
    read = _matched(info, order)
    services = tuple(_declared_service(name, declared[name], read.get(name), info) for name in order)
    name = info.bento_name or bento_name_of(entry)
    return replace(info, services=services, entry_service=entry, bento_name=name)


def _entry(declared: Mapping[str, Sequence[str]]) -> str:
    """Give the first service that no other depends on."""
    if not declared:
        raise BentoError('attribute `services` is empty. Name at least the entry service, as {"<name>": []}.')
    below = {other for on in declared.values() for other in on}
    return next((name for name in declared if name not in below), next(iter(declared)))


def _order(entry: str, declared: Mapping[str, Sequence[str]]) -> list[str]:
    """Give the services as BentoML's `all_services` does: itself, then each dependency's."""
    order: list[str] = []
    stack = [entry]
    while stack:
        name = stack.pop()
        if name not in order:
            order.append(name)
            stack += reversed(declared[name])
    return order


def _matched(info: ServiceInfo, order: list[str]) -> dict[str, Service]:
    """Pair what was read with the declared names: by name, the entry, or the only one that is left."""
    read = {service.name: service for service in info.services if service.name is not None}
    if info.services:
        read.setdefault(order[0], info.services[0])
    unnamed = [service for service in info.services[1:] if service.name is None]
    open_names = [name for name in order if name not in read]
    if len(unnamed) == len(open_names) == 1:
        read[open_names[0]] = unnamed[0]
    elif any(service.models for service in unnamed):
        lost = next(service for service in unnamed if service.models)
        raise BentoError(
            f"{lost.path}:{lost.line}: it is not plain which of the declared {_listed(open_names)} is service "
            f"`{lost.class_name}`, and it has models. Give it a plain `name` in `@bentoml.service`."
        )
    return read


def _declared_service(name: str, on: Sequence[str], read: Service | None, info: ServiceInfo) -> Service:
    if read is None:
        return Service(name, name, info.path, 1, dependencies=tuple(Dependency("", other) for other in on))
    plain = [dependency for dependency in read.dependencies if dependency.service or _elsewhere(dependency)]
    contradicted = [dependency.service for dependency in plain if dependency.service not in (None, *on)]
    if contradicted:
        raise BentoError(
            f"attribute `services`: `{name}` depends on {_listed(on)}, but {read.path}:{read.line} says plainly "
            f"that it also depends on {_listed(contradicted)}. Add it."
        )
    known = {dependency.service for dependency in plain}
    added = [Dependency("", other) for other in on if other not in known]
    return replace(read, name=name, dependencies=(*plain, *added))


def _elsewhere(dependency: Dependency) -> bool:
    return bool(dependency.url or dependency.deployment)


def require(info: ServiceInfo, target: str) -> None:
    """Refuse facts without which a Bento cannot be served.

    Raises:
        BentoError: names each one with file, line and attribute.

    """
    missing = [unknown for unknown in info.unknowns if unknown.required]
    if not missing:
        return
    prefix = f"{target}: " if target else ""
    lines = [f"{unknown.path}:{unknown.line}: {unknown.what}." for unknown in missing]
    attributes = dict.fromkeys(unknown.attribute for unknown in missing)
    remedies = [f"`{name}`, {_HOW[name]}" if name in _HOW else f"`{name}`" for name in attributes]
    raise BentoError(
        f"{prefix}the source does not state plainly what serving the Bento needs to know.\n  "
        + "\n  ".join(lines)
        + f"\nState it in the source, or declare it in the attribute {', and in '.join(remedies)}."
    )


def _listed(names: Collection[str | None]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
