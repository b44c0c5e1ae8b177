"""Decides where each fact of a service comes from: the source as it was read, else what a target or a command states.

`apply` is the one place where origins are chosen. What is read plainly stays; each statement answers for the facts that
it names and for no other; what is left unknown is refused by `remediation.require`.
"""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import dataclass, field, replace
from rules_bento.errors import BentoError
from rules_bento.service import configuration, remediation
from rules_bento.service.metadata import Dependency, Model, Service, ServiceInfo, Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from rules_bento.service.metadata import Json
    from rules_bento.service.remediation import Words

# Begins the name of a model in the place of its tag, which the source computes; no tag begins so.
COMPUTED = "?"
_CAPITALS = re.compile(r"([A-Z]+)(?=[a-z0-9])")


def bento_name_of(name: str) -> str:
    """Return the Bento name that BentoML derives from a service's name."""

    def lower(match: re.Match[str]) -> str:
        word = match.group().lower()
        return f"_{word[:-1]}_{word[-1]}" if len(word) > 1 else f"_{word}"

    return _CAPITALS.sub(lower, name).lstrip("_").lower()


@dataclass(frozen=True)
class Declared:
    """Holds what a target or a command states of a service beside its source; None is what is not stated.

    Attributes:
        services: service name -> names of the services it depends on; the entry service is the one that was read,
            else the first that none depends on.
        bento_name: the Bento's name.
        models: tags of the models that come along -> their aliases, empty where they have none.
        service_models: `Service.attribute` -> tag.
        config: service name -> its configuration, or the part of it that the source computes.
        envs: names of environment variables, with their values where these must agree with the source's.
        labels: keys of labels, with their values.
        in_full: facts of which the target states all there is.
        image: anything but None says that the image is stated.
        description: anything but None says that the description is stated.
        words: what messages name.

    """

    services: Mapping[str, Sequence[str]] | None = None
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


def apply(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Put declared facts in place and drop the unknowns that they answer.

    Raises:
        BentoError: a declared fact contradicts what the source states plainly, or is about no service that is there;
            or BentoML takes no such configuration.

    """
    remediation.check_in_full(declared.in_full, declared.words)
    _require_agreement(info, declared)
    if declared.services is not None and info.kind == "new":
        info = _with_services(info, declared.services, remediation.statement("services", declared.words))
    if declared.bento_name is not None:
        info = replace(info, bento_name=declared.bento_name)
    declared = _by_name(info, declared)
    info = _with_config(info, declared)
    info = _with_models(info, declared)
    left = tuple(unknown for unknown in info.unknowns if not _answered(unknown, declared))
    computed = {unknown.fact for unknown in info.unknowns if unknown.attribute == "envs"}
    stated = {f"envs.{name}" for name in declared.envs} & computed
    configuration.check(info)
    return replace(info, unknowns=left, envs=tuple(env for env in info.envs if f"envs.{env.name}" not in stated))


def _require_agreement(info: ServiceInfo, declared: Declared) -> None:
    """Raise BentoError for labels and variables that complete computed ones and contradict the constants among them."""
    constants: Mapping[str, Mapping[str, Json]] = {
        "labels": dict(info.labels),
        "envs": {env.name: env.value for env in info.envs if env.value is not None},
    }
    stated: Mapping[str, Collection[str]] = {"labels": declared.labels, "envs": declared.envs}
    for fact in {"labels", "envs"} & set(declared.in_full) & {unknown.fact for unknown in info.unknowns}:
        given = stated[fact]
        for key, value in given.items() if isinstance(given, dict) else ():
            if key in constants[fact] and constants[fact][key] != value:
                raise BentoError(
                    f"{fact}: `{key}` is {value!r}, but the source states {constants[fact][key]!r}. Remove it."
                )


def _by_name(info: ServiceInfo, declared: Declared) -> Declared:
    """Replace the class of a service by its name: a message names the class of one whose name is not plain."""
    classes = [service.class_name for service in info.services]
    names = {one.class_name: one.name for one in info.services if one.name and classes.count(one.class_name) == 1}
    taken = {service.name for service in info.services}

    def name(stated: str) -> str:
        return stated if stated in taken else names.get(stated, stated)

    config = {name(service): values for service, values in declared.config.items()}
    models = {
        f"{name(owner)}.{attribute}" if dot else attribute: tag
        for path, tag in declared.service_models.items()
        for owner, dot, attribute in [path.rpartition(".")]
    }
    if len(config) < len(declared.config) or len(models) < len(declared.service_models):
        return declared  # both the class and the name of one service: the class is refused
    return replace(declared, config=config, service_models=models)


def _answered(unknown: Unknown, declared: Declared) -> bool:
    """Return whether a statement answers an unknown."""
    _, _, key = unknown.fact.partition(".")
    match unknown.attribute:
        case "services":
            return declared.services is not None
        case "members":
            models = "models" in declared.in_full or f"{unknown.service}.{key}" in declared.service_models
            return declared.services is not None and models
        case "labels":
            return "labels" in declared.in_full or key in declared.labels
        case "envs":
            return "envs" in declared.in_full or key in declared.envs
        case "models":
            return not key and "models" in declared.in_full
        case "image":
            return "image" in declared.in_full or declared.image is not None
        case "description":
            return "description" in declared.in_full or declared.description is not None
        case _:
            return False


# Services and the edges between them


def _with_services(info: ServiceInfo, declared: Mapping[str, Sequence[str]], place: str) -> ServiceInfo:
    entry = info.entry_service or _entry(declared, place)
    if entry not in declared:
        raise BentoError(
            f"{place} has no entry for `{entry}`, the entry service of {info.service}; "
            f"it has {_listed(declared)}. Add `{entry}`."
        )
    for name, on in declared.items():
        missing = [other for other in on if other not in declared]
        if missing:
            raise BentoError(
                f"{place}: `{name}` depends on {_listed(missing)}, which has no entry of its own. "
                "Give each service an entry, with nothing in it where it depends on none."
            )
    order = _order(entry, declared)
    read = _matched(info, order)
    made = {name: _declared_service(name, declared[name], read.get(name), info.path, place) for name in order}
    edges = {name: [one.service for one in service.dependencies if one.service] for name, service in made.items()}
    services = tuple(made[name] for name in _order(entry, edges))
    named = {read[name].class_name: name for name in order if name in read and read[name].name is None}
    unknowns = [replace(unknown, service=named.get(unknown.service, unknown.service)) for unknown in info.unknowns]
    unknowns += [unknown for name in order if name not in read for unknown in _nothing_read(name, info)]
    bento_name = info.bento_name or bento_name_of(entry)
    return replace(info, services=services, entry_service=entry, bento_name=bento_name, unknowns=tuple(unknowns))


def _nothing_read(name: str, info: ServiceInfo) -> list[Unknown]:
    """Return what is unknown of a service that is declared and was found nowhere."""
    edges = [unknown for unknown in info.unknowns if unknown.fact.startswith(("dependencies.", "members", "service"))]
    path, line = (edges[0].path, edges[0].line) if edges else (info.path, 1)
    return unread(name, "it is declared, and was not found in the sources", path, line)


def unread(name: str, why: str, path: str, line: int) -> list[Unknown]:
    """Return the unknowns of a service of which nothing was read, beside its name and its edges."""
    facts = {"config": "the configuration", "models": "the models"}
    return [
        Unknown(f"{what} of service `{name}`: {why}", path, line, fact, fact, name, required=True)
        for fact, what in facts.items()
    ]


def _entry(declared: Mapping[str, Sequence[str]], place: str) -> str:
    """Return the first service that no other depends on."""
    if not declared:
        raise BentoError(f"{place} is empty. Name at least the entry service.")
    below = {other for on in declared.values() for other in on}
    return next((name for name in declared if name not in below), next(iter(declared)))


def _order(entry: str, declared: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the services as BentoML's `all_services` does: itself, then each dependency's."""
    order: list[str] = []
    stack = [entry]
    while stack:
        name = stack.pop()
        if name not in order:
            order.append(name)
            stack += reversed(declared[name])
    return order


def _matched(info: ServiceInfo, order: list[str]) -> dict[str, Service]:
    """Match the services that were read with declared names: by name, as the entry, or as the only ones left."""
    read = {service.name: service for service in info.services if service.name is not None}
    if info.services:
        read.setdefault(order[0], info.services[0])
    unnamed = [service for service in info.services[1:] if service.name is None]
    open_names = [name for name in order if name not in read]
    if len(unnamed) == len(open_names) == 1:
        read[open_names[0]] = unnamed[0]
    elif unnamed:
        lost = unnamed[0]
        raise BentoError(
            f"{lost.path}:{lost.line}: it is not plain which of the declared {_listed(open_names)} is service "
            f"`{lost.class_name}`. Give it a plain `name` in `@bentoml.service`."
        )
    return read


def _declared_service(name: str, on: Sequence[str], read: Service | None, path: str, place: str) -> Service:
    if read is None:
        return Service(name, name, path, 1, dependencies=tuple(Dependency("", other) for other in on))
    plain = [dependency for dependency in read.dependencies if dependency.service or _elsewhere(dependency)]
    contradicted = [dependency.service for dependency in plain if dependency.service not in (None, *on)]
    if contradicted:
        raise BentoError(
            f"{place}: `{name}` depends on {_listed(on)}, but {read.path}:{read.line} states "
            f"that it also depends on {_listed(contradicted)}. Add it."
        )
    added = list(on)
    for dependency in plain:
        if dependency.service in added:
            added.remove(dependency.service)
    dependencies = []
    for dependency in read.dependencies:
        # What the source leaves open takes the declared names in their order, at its own place.
        if dependency in plain:
            dependencies.append(dependency)
        elif added:
            dependencies.append(replace(dependency, service=added.pop(0)))
        else:
            raise BentoError(
                f"{place}: `{name}` depends on {_listed(on)}, but {read.path}:{read.line} has one more dependency, in "
                f"`{dependency.attribute}`. Name the service that it is on, a second time if it is one of these."
            )
    return replace(read, name=name, dependencies=(*dependencies, *(Dependency("", other) for other in added)))


def _elsewhere(dependency: Dependency) -> bool:
    return bool(dependency.url or dependency.deployment)


# Configuration


def _with_config(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    by_name = {service.name or service.class_name: service for service in info.services}
    foreign = [name for name in declared.config if name not in by_name]
    if foreign:
        raise BentoError(
            f"{remediation.statement('service_config', declared.words)}: there is no service {_listed(foreign)}; "
            f"there is {_listed(by_name)}. Name one of these."
        )
    unknowns = list(info.unknowns)
    for name, stated in declared.config.items():
        own = [unknown for unknown in unknowns if unknown.attribute == "config" and unknown.service == name]
        service = by_name[name]
        merged = _merged(
            service.config,
            stated,
            [unknown.fact for unknown in own],
            f"{remediation.statement('service_config', declared.words)} of `{name}`",
        )
        by_name[name] = replace(service, config=_with_task(merged, service))
        unknowns = [unknown for unknown in unknowns if unknown not in own or not _holds(stated, unknown.fact)]
    services = tuple(by_name[service.name or service.class_name] for service in info.services)
    return replace(info, services=services, unknowns=tuple(unknowns))


def _merged(read: Mapping[str, Json], stated: Mapping[str, Json], computed: list[str], place: str) -> dict[str, Json]:
    """Return the configuration that was read with what is stated of it; `computed` are the facts that are open."""

    def walk(ours: Mapping[str, Json], more: Mapping[str, Json], fact: str) -> dict[str, Json]:
        merged = dict(ours)
        for key, value in more.items():
            path = f"{fact}.{key}"
            known = merged.get(key)
            if isinstance(known, dict) and isinstance(value, dict):
                merged[key] = walk(known, value, path)
            elif key in merged and known != value:
                raise BentoError(f"{place}: `{path}` is {value!r}, but the source states {known!r}. Remove it.")
            elif key not in merged and not any(path == one or path.startswith(f"{one}.") for one in computed):
                raise BentoError(f"{place}: the source states that there is no `{path}`. Remove it.")
            else:
                merged[key] = value
        return merged

    return walk(read, stated, "config")


def _holds(stated: Mapping[str, Json], fact: str) -> bool:
    """Return whether a statement has the key that a fact (`config.traffic.timeout`) names."""
    value: Json = dict(stated)
    for key in fact.split(".")[1:]:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def _with_task(config: dict[str, Json], service: Service) -> dict[str, Json]:
    """Add what BentoML adds for tasks."""
    traffic = config.get("traffic")
    if not isinstance(traffic, dict) or not any(api.is_task for api in service.apis):
        return config
    return {**config, "traffic": {"concurrency": 1, **traffic, "external_queue": True}}


# Models


def _with_models(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Put a tag in the place of each one that the source computes, where a statement says which it is."""
    open_ = [name for name, model in _references(info) if model.computed]
    tags = {name: tag.lower() for name, tag in declared.service_models.items()}
    whole = any(unknown.fact == "models" or unknown.attribute == "members" for unknown in info.unknowns)
    more = {name: tag for name, tag in tags.items() if name not in open_}
    info = _with_more_models(info, more, remediation.statement("service_models", declared.words), whole=whole)
    used = [model.tag for _, model in _references(info) if model.tag]
    free = [tag for tag, alias in declared.models.items() if not any(_means(name, tag, alias) for name in used)]
    free = [tag for tag in free if tag not in tags.values()]
    left = [name for name in open_ if name not in tags]
    if len(left) == len(free) == 1:
        tags[left[0]] = free[0]
    return _with_tags(info, tags)


def _with_more_models(info: ServiceInfo, more: Mapping[str, str], place: str, *, whole: bool) -> ServiceInfo:
    """Give services models that were not read. Raises BentoError where all were."""
    names = {service.name: service for service in info.services}
    known = {name for name, _ in _references(info)}
    foreign = [name for name in more if name in known or name.rpartition(".")[0] not in names or not whole]
    if foreign:
        raise BentoError(
            f"{place}: {_listed(foreign)} is no model that the source computes; of such there is "
            f"{_listed(name for name, model in _references(info) if model.computed)}. Correct it, or remove it."
        )
    for name, tag in more.items():
        owner, _, attribute = name.rpartition(".")
        models = [*names[owner].models, Model(attribute, tag)]
        names[owner] = replace(names[owner], models=tuple(sorted(models, key=lambda model: model.attribute)))
    return replace(info, services=tuple(names[service.name] for service in info.services))


def _with_tags(info: ServiceInfo, tags: Mapping[str, str]) -> ServiceInfo:
    """Put tags in the place of computed ones and drop the unknowns that they answer."""
    facts = {
        id(model): replace(model, tag=tags[name], computed=False)
        for name, model in _references(info)
        if model.computed and name in tags
    }

    def tagged(models: Iterable[Model]) -> tuple[Model, ...]:
        return tuple(facts.get(id(model), model) for model in models)

    return replace(
        info,
        services=tuple(replace(service, models=tagged(service.models)) for service in info.services),
        models=tagged(info.models),
        runners=tuple(
            replace(runner, models=tuple(tags.get(tag.removeprefix(COMPUTED), tag) for tag in runner.models))
            for runner in info.runners
        ),
        unknowns=tuple(
            unknown
            for unknown in info.unknowns
            if unknown.attribute != "models" or f"{unknown.service}.{unknown.fact.partition('.')[2]}" not in tags
        ),
    )


def _references(info: ServiceInfo) -> list[tuple[str, Model]]:
    """Return the models that services name, each with the name that `service_models` has for it."""
    variable = info.service.rpartition(":")[2]
    own = [(f"{variable}.{model.attribute}", model) for model in info.models]
    return own + [(f"{service.name}.{model.attribute}", model) for service in info.services for model in service.models]


def _means(name: str, tag: str, alias: str) -> bool:
    """Return whether a reference, which may be an alias or lack a version, is to the model of a tag."""
    word, _, version = name.lower().removesuffix(":latest").partition(":")
    own, _, own_version = tag.partition(":")
    return name == alias or (word == own and (own_version.startswith(version) or version.startswith(own_version)))


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
