"""Puts values that a target or a command states in the place of those that the source does not state as constants.

A constant of the source remains. Each statement answers for the values that it names and for no other; what remains
unknown is rejected by `remediation.require_known`.
"""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import dataclass, field, replace
from rules_bento.errors import BentoError
from rules_bento.service import configuration, remediation
from rules_bento.typing_lite import TYPE_CHECKING, Collection, Iterable, Mapping

if TYPE_CHECKING:
    from rules_bento.service.metadata import Json, Model, Service, ServiceInfo, Unknown
    from rules_bento.service.remediation import Words

_CAPITALS = re.compile(r"([A-Z]+)(?=[a-z0-9])")


def snake_case(name: str) -> str:
    """Return the Bento name that BentoML derives from a service's name: `ImgSvc` -> `img_svc`."""

    def lower(match: re.Match[str]) -> str:
        word = match.group().lower()
        return f"_{word[:-1]}_{word[-1]}" if len(word) > 1 else f"_{word}"

    return _CAPITALS.sub(lower, name).lstrip("_").lower()


@dataclass(frozen=True)
class Declared:
    """Holds the values that a target or a command states of a service.

    Attributes:
        bento_name: the Bento's name.
        service_models: `Service.attribute` -> tag.
        config: service name -> its configuration, or the part of it that the source determines at run time.
        envs: names of environment variables, with their values if these must agree with the source's.
        labels: keys of labels, with their values.
        in_full: kinds of values that the target states completely.
        image: anything but None means that the image is stated.
        description: anything but None means that the description is stated.
        words: what messages name.

    """

    bento_name: str | None = None
    service_models: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    envs: Collection[str] = ()
    labels: Collection[str] = ()
    in_full: Collection[str] = ()
    image: object = None
    description: object = None
    words: Words = "attributes"


def override(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Put stated values in place and drop the unknowns that they answer.

    Raises:
        BentoError: a stated value contradicts a constant of the source, or is of no service that exists;
            or BentoML rejects the configuration.

    """
    remediation.check_in_full(declared.in_full, declared.words)
    if any(unknown.kind == "service" for unknown in info.unknowns):
        return info  # no statement answers that
    _require_agreement(info, declared)
    if declared.bento_name is not None:
        info = replace(info, bento_name=declared.bento_name)
    info = _with_models(_with_config(info, declared), declared)
    unknowns = tuple(unknown for unknown in info.unknowns if not _answered(unknown, declared))
    stated = {f"envs.{name}" for name in declared.envs} & {unknown.fact for unknown in info.unknowns}
    configuration.check(info)
    return replace(info, unknowns=unknowns, envs=tuple(env for env in info.envs if f"envs.{env.name}" not in stated))


def _require_agreement(info: ServiceInfo, declared: Declared) -> None:
    """Raise BentoError for complete labels and variables that contradict the constants among them."""
    constants: Mapping[str, Mapping[str, Json]] = {
        "labels": dict(info.labels),
        "envs": {env.name: env.value for env in info.envs if env.value is not None},
    }
    stated: Mapping[str, Collection[str]] = {"labels": declared.labels, "envs": declared.envs}
    for fact in sorted({"labels", "envs"} & set(declared.in_full) & {unknown.fact for unknown in info.unknowns}):
        values = stated[fact]
        for key, value in values.items() if isinstance(values, dict) else ():
            if key in constants[fact] and constants[fact][key] != value:
                raise BentoError(
                    f"{fact}: `{key}` is {value!r}, but the source specifies {constants[fact][key]!r}. Remove it."
                )


def _answered(unknown: Unknown, declared: Declared) -> bool:
    """Return whether a statement answers an unknown."""
    key = unknown.fact.partition(".")[2]
    match unknown.kind:
        case "config":
            return _has(declared.config.get(unknown.service, {}), key)
        case "models":
            return f"{unknown.service}.{key}" in declared.service_models
        case "labels" | "envs" as kind:
            return kind in declared.in_full or key in getattr(declared, kind)
        case kind:
            return kind in declared.in_full or getattr(declared, kind) is not None


# Configuration


def _with_config(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    services = {service.name: service for service in info.services}
    for name, stated in declared.config.items():
        place = f"{remediation.statement('service_config', declared.words)} of `{name}`"
        if name not in services:
            raise BentoError(f"{place}: the source has no such service. It has {_listed(services)}. Name one of these.")
        unknown = {one.fact for one in info.unknowns if one.service == name}
        merged = _merged(services[name].config, stated, "config", unknown, place)
        traffic = merged.get("traffic")
        if isinstance(traffic, dict) and any(api.is_task for api in services[name].apis):
            merged["traffic"] = {"concurrency": 1, **traffic, "external_queue": True}
        services[name] = replace(services[name], config=merged)
    return replace(info, services=tuple(services.values()))


def _merged(
    read: Mapping[str, Json], stated: Mapping[str, Json], fact: str, unknown: Collection[str], place: str
) -> dict[str, Json]:
    """Return the configuration of the source with what is stated of its unknown values."""
    merged = dict(read)
    for key, value in stated.items():
        path, known = f"{fact}.{key}", merged.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[key] = _merged(known, value, path, unknown, place)
        elif key in merged and known != value:
            raise BentoError(f"{place}: `{path}` is {value!r}, but the source specifies {known!r}. Remove it.")
        elif key not in merged and not any(path == one or path.startswith(f"{one}.") for one in unknown):
            raise BentoError(f"{place}: the source specifies no `{path}`. Remove it.")
        else:
            merged[key] = value
    return merged


def _has(stated: Mapping[str, Json], path: str) -> bool:
    """Return whether a statement has the key that a path such as `traffic.timeout` names."""
    key, _, rest = path.partition(".")
    value = stated.get(key)
    return key in stated and (not rest or (isinstance(value, dict) and _has(value, rest)))


# Models


def _with_models(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Put the stated tags in the place of those that the source does not state."""
    unknown = [f"{one.service}.{one.fact.partition('.')[2]}" for one in info.unknowns if one.kind == "models"]
    foreign = [name for name in declared.service_models if name not in unknown]
    if foreign:
        raise BentoError(
            f"{remediation.statement('service_models', declared.words)}: unexpected {_listed(foreign)}. "
            f"Models with an unknown tag: {_listed(unknown)}. Correct or remove it."
        )

    def tagged(service: Service, model: Model) -> Model:
        tag = declared.service_models.get(f"{service.name}.{model.attribute}")
        return replace(model, tag=tag.lower()) if tag else model

    services = [replace(one, models=tuple(tagged(one, model) for model in one.models)) for one in info.services]
    return replace(info, services=tuple(services))


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
