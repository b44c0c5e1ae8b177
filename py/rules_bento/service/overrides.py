"""Puts values that a target or a command states in the place of those that the source does not state as constants.

A constant of the source remains. Each statement answers for the values that it names and for no other; what remains
unknown is rejected by `remediation.require`.
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
        models: tags of the models of the Bento -> their aliases, empty without one.
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
    models: Mapping[str, str] = field(default_factory=dict)
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
    if any(unknown.fact == "service" for unknown in info.unknowns):
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
                    f"{fact}: `{key}` is {value!r}, but the source states {constants[fact][key]!r}. Remove it."
                )


def _answered(unknown: Unknown, declared: Declared) -> bool:
    """Return whether a statement answers an unknown."""
    kind, _, key = unknown.fact.partition(".")
    if unknown.attribute in ("labels", "envs"):
        return kind in declared.in_full or key in getattr(declared, kind)
    stated = {"image": declared.image, "description": declared.description}.get(unknown.attribute)
    return unknown.attribute in declared.in_full or stated is not None


# Configuration


def _with_config(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    unknowns, services = list(info.unknowns), {service.name or service.class_name: service for service in info.services}
    for name, stated in declared.config.items():
        place = f"{remediation.statement('service_config', declared.words)} of `{name}`"
        if name not in services:
            raise BentoError(f"{place}: the source has no such service. It has {_listed(services)}. Name one of these.")
        own = [unknown for unknown in unknowns if unknown.attribute == "config" and unknown.service == name]
        merged = _merged(services[name].config, stated, "config", {unknown.fact for unknown in own}, place)
        traffic = merged.get("traffic")
        if isinstance(traffic, dict) and any(api.is_task for api in services[name].apis):
            merged["traffic"] = {"concurrency": 1, **traffic, "external_queue": True}
        services[name] = replace(services[name], config=merged)
        unknowns = [unknown for unknown in unknowns if unknown not in own or not _has(stated, unknown.fact)]
    return replace(info, services=tuple(services.values()), unknowns=tuple(unknowns))


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
            raise BentoError(f"{place}: `{path}` is {value!r}, but the source states {known!r}. Remove it.")
        elif key not in merged and not any(path == one or path.startswith(f"{one}.") for one in unknown):
            raise BentoError(f"{place}: the source states that there is no `{path}`. Remove it.")
        else:
            merged[key] = value
    return merged


def _has(stated: Mapping[str, Json], fact: str) -> bool:
    """Return whether a statement has the key that a path such as `config.traffic.timeout` names."""
    value: Json = dict(stated)
    for key in fact.split(".")[1:]:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


# Models


def _with_models(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Put a tag in the place of each one that the source does not state, if a statement gives it."""
    references = [
        (f"{service.name or service.class_name}.{model.attribute}", model)
        for service in info.services
        for model in service.models
    ]
    unknown = [name for name, model in references if model.computed]
    tags = {name: tag.lower() for name, tag in declared.service_models.items()}
    foreign = [name for name in tags if name not in unknown]
    if foreign:
        raise BentoError(
            f"{remediation.statement('service_models', declared.words)}: {_listed(foreign)} isn't a model whose tag is "
            f"unknown; these are {_listed(unknown)}. Correct it, or remove it."
        )
    used = [model.tag for _, model in references if model.tag]
    free = [tag for tag, alias in declared.models.items() if not any(_fits(name, tag, alias) for name in used)]
    free = [tag for tag in free if tag not in tags.values()]
    rest = [name for name in unknown if name not in tags]
    if len(rest) == len(free) == 1:
        tags[rest[0]] = free[0]

    def tagged(service: Service, model: Model) -> Model:
        tag = tags.get(f"{service.name or service.class_name}.{model.attribute}")
        return replace(model, tag=tag, computed=False) if tag else model

    return replace(
        info,
        services=tuple(
            replace(service, models=tuple(tagged(service, model) for model in service.models))
            for service in info.services
        ),
        unknowns=tuple(
            one
            for one in info.unknowns
            if one.attribute != "models" or f"{one.service}.{one.fact.partition('.')[2]}" not in tags
        ),
    )


def _fits(name: str, tag: str, alias: str) -> bool:
    """Return whether a reference, which may be an alias or lack a version, is to the model of a tag."""
    word, _, version = name.lower().removesuffix(":latest").partition(":")
    own, _, own_version = tag.partition(":")
    return name == alias or (word == own and (own_version.startswith(version) or version.startswith(own_version)))


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
