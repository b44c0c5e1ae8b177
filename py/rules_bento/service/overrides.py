"""Adds declared values to service metadata, if the source doesn't define the values as constants.

A declared value can't replace a constant. `require_known` raises BentoError if a value is still unknown.
"""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import dataclass, field, replace
from rules_bento.errors import BentoError, page
from rules_bento.service import configuration
from rules_bento.service.sdk_names import IMPORT_LINE
from rules_bento.typing_lite import TYPE_CHECKING, Collection, Iterable, Literal, Mapping, TypeAlias

if TYPE_CHECKING:
    from rules_bento.service.metadata import Json, Model, Service, ServiceInfo, Unknown

    OptionKind: TypeAlias = Literal["attributes", "flags"]

_CAPITALS = re.compile(r"([A-Z]+)(?=[a-z0-9])")

# Value to the attributes and the flags that state it; `{key}`, `{top}`, and `{service}` are filled in.
_REMEDIES = {
    "models": (
        'service_models = {{"{service}.{key}": "<tag>"}}',
        "--service-model {service}.{key}=TAG",
    ),
    "config": (
        'service_config = {{"{service}": service_config({top} = ...)}}',
        "--config {service}.{key}=VALUE",
    ),
    "labels.openai_endpoint": (
        'labels = {{"{key}": "<the path without /chat/completions>"}}, or, if BentoML finds no such path, all labels '
        'with complete_metadata = ["labels"]',
        "--label {key}=PATH (without /chat/completions, such as /v1), or, if BentoML finds no such path, all labels "
        "with --complete labels",
    ),
    "labels.": ('labels = {{"{key}": ...}}', "--label {key}=VALUE"),
    "labels": ('all labels with complete_metadata = ["labels"]', "all labels with --label and --complete labels"),
    "envs.": ('bento_env = ["{key}=..."]', "--env {key}=VALUE"),
    "envs": ('all of bento_env with complete_metadata = ["envs"]', "all envs with --env and --complete envs"),
    "description": (
        'description, or complete_metadata = ["description"], which keeps README.md',
        "--description TEXT, or --complete description, which keeps README.md",
    ),
}
_FLAGS = {"service_config": "--config", "service_models": "--service-model"}
_IMPORT = f"import the service with BentoML. Add to the target:{IMPORT_LINE}"
_IMPORT_BY_FLAG = "build with --import --python ENV, which imports the service"
_MANY = 3  # unknown values from which on the import is offered first
IN_FULL = ("labels", "envs", "image", "description")
"""Kinds of values that can be declared completely."""


def snake_case(name: str) -> str:
    """Return the name that BentoML derives from a service's name: `ImgSvc` becomes `img_svc`."""

    def lower(match: re.Match[str]) -> str:
        word = match.group().lower()
        return f"_{word[:-1]}_{word[-1]}" if len(word) > 1 else f"_{word}"

    return _CAPITALS.sub(lower, name).lstrip("_").lower()


@dataclass(frozen=True)
class Declared:
    """The service metadata that a target or a command declares.

    Attributes:
        bento_name: the name of the Bento.
        service_models: model tags by `Service.attribute`.
        config: by service name, configuration values that the source determines at run time.
        bare: the paths, such as `Svc.resources.cpu`, of numbers in `config` that might be meant as strings.
        envs: names of environment variables, or a dict with values to compare with constants in the source.
        labels: label keys, or a dict with values to compare with constants in the source.
        in_full: the kinds of values that the target declares completely.
        description: not None if the target declares the description.
        option_kind: whether messages refer to attributes or flags.

    """

    bento_name: str | None = None
    service_models: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    bare: Collection[str] = ()
    envs: Collection[str] = ()
    labels: Collection[str] = ()
    in_full: Collection[str] = ()
    description: object = None
    option_kind: OptionKind = "attributes"


def override(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Set the declared name, configuration, and models in `info`, and remove all declared values from `unknowns`.

    If static analysis doesn't support the service, returns `info` unchanged. Raises BentoError if a declaration is
    invalid, contradicts the source, or refers to a missing service or model.
    """
    check_in_full(declared.in_full, declared.option_kind)
    if any(unknown.kind == "service" for unknown in info.unknowns):
        return info  # no statement answers that
    _require_agreement(info, declared)
    if declared.bento_name is not None:
        info = replace(info, bento_name=declared.bento_name)
    info = _with_models(_with_config(info, declared), declared)
    unknowns = tuple(unknown for unknown in info.unknowns if not _answered(unknown, declared))
    stated = {f"envs.{name}" for name in declared.envs} & {unknown.field for unknown in info.unknowns}
    configuration.check(info)
    return replace(info, unknowns=unknowns, envs=tuple(env for env in info.envs if f"envs.{env.name}" not in stated))


def _require_agreement(info: ServiceInfo, declared: Declared) -> None:
    """Raise BentoError if completely declared labels or environment variables contradict constants in the source."""
    envs = {env.name: env.value for env in info.envs if env.value is not None}
    unknown = {each.field for each in info.unknowns} & {*declared.in_full}
    for name, known, stated in (("envs", envs, declared.envs), ("labels", {**info.labels}, declared.labels)):
        for key, value in stated.items() if name in unknown and isinstance(stated, dict) else ():
            if (own := known.get(key, value)) != value:
                problem = f"`{key}` is declared as {value!r}, but the source specifies {own!r}"
                raise BentoError(problem, place=name, remedy=f"Remove `{key}` from the declared {name}.")


def _answered(unknown: Unknown, declared: Declared) -> bool:
    """Return whether a declaration specifies the value of `unknown`."""
    key = unknown.field.partition(".")[2]
    match unknown.kind:
        case "config":
            return _has(declared.config.get(unknown.service, {}), key)
        case "models":
            return f"{unknown.service}.{key}" in declared.service_models
        case "labels" | "envs" as kind:
            return kind in declared.in_full or key in getattr(declared, kind)
        case "description":
            return "description" in declared.in_full or declared.description is not None
        case kind:
            return kind in declared.in_full


# Configuration


def _with_config(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    services = {service.name: service for service in info.services}
    for name, stated in declared.config.items():
        attribute = statement("service_config", declared.option_kind)
        if name not in services:
            remedy = f"Valid names: {listed(services)}."
            raise BentoError(f"no service is named `{name}`", place=attribute, remedy=remedy)
        place = f"{attribute} of `{name}`"
        unknown = {one.field: one for one in info.unknowns if one.service == name}
        if declared.option_kind == "flags":
            prefix = f"{name}."
            ambiguous = {f"config.{path.removeprefix(prefix)}" for path in declared.bare if path.startswith(prefix)}
            stated = _with_texts(stated, "config", unknown, ambiguous)
        merged = _merged(services[name].config, stated, "config", unknown, place)
        traffic = merged.get("traffic")
        if isinstance(traffic, dict) and any(api.is_task for api in services[name].apis):
            merged["traffic"] = {"concurrency": 1, **traffic, "external_queue": True}
        services[name] = replace(services[name], config=merged)
    return replace(info, services=tuple(services.values()))


def _with_texts(
    stated: Mapping[str, Json], field: str, unknown: Mapping[str, Unknown], ambiguous: Collection[str]
) -> dict[str, Json]:
    """Convert the numbers that a flag declares to strings, if the source and BentoML have strings there.

    Raises BentoError for a path in `ambiguous`, such as `config.resources.cpu`, if the source doesn't show the type.
    """
    result = dict(stated)
    for key, value in stated.items():
        path = f"{field}.{key}"
        if isinstance(value, dict):
            result[key] = _with_texts(value, path, unknown, ambiguous)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and path in unknown:
            kind, text, known = configuration.KINDS.get(path.removeprefix("config.")), str(value), unknown[path].type
            if known == "str" and (kind is None or kind.holds(text)):
                result[key] = text
            elif not known and path in ambiguous and kind and kind.holds(text):
                option = path.removeprefix("config.")
                flag, parent = (
                    f"--config '{unknown[path].service}.{each}" for each in (option, field[len("config.") :])
                )
                number, string = f'{parent}={{"{key}": {text}}}\'', f'{flag}="{text}"\''
                raise BentoError(
                    f"the source doesn't show whether the value of `{option}` is a number or a string",
                    place=f"{unknown[path].path}:{unknown[path].line}",
                    remedy=f"For a number, write {number}. For a string, write {string}.",
                )
    return result


def _merged(
    read: Mapping[str, Json], stated: Mapping[str, Json], field: str, unknown: Collection[str], place: str
) -> dict[str, Json]:
    """Add the declared values `stated` to the configuration `read`. Raises BentoError for an invalid declaration."""
    merged = dict(read)
    for key, value in stated.items():
        path, known = f"{field}.{key}", merged.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[key] = _merged(known, value, path, unknown, place)
        elif key in merged and known != value:
            problem = f"`{path}` is declared as {value!r}, but the source specifies {known!r}"
            raise BentoError(problem, place=place, remedy="Remove the declaration.")
        elif key not in merged and not any(path == one or path.startswith(f"{one}.") for one in unknown):
            raise BentoError(
                f"the service's source doesn't set `{path}`. Only values that the source determines at run time can "
                "be declared",
                place=place,
                remedy="Remove the value.",
            )
        else:
            merged[key] = value
    return merged


def _has(stated: Mapping[str, Json], path: str) -> bool:
    """Return whether a declaration contains the value at a path such as `traffic.timeout`."""
    key, _, rest = path.partition(".")
    value = stated.get(key)
    return key in stated and (not rest or (isinstance(value, dict) and _has(value, rest)))


# Models


def _with_models(info: ServiceInfo, declared: Declared) -> ServiceInfo:
    """Set the declared tags on models whose tags are unknown. Raises BentoError if another model has a declared tag."""
    unknown = [f"{one.service}.{one.field.partition('.')[2]}" for one in info.unknowns if one.kind == "models"]
    foreign = [name for name in declared.service_models if name not in unknown]
    if foreign:
        attribute = statement("service_models", declared.option_kind)
        remedy = f"Valid models: {listed(unknown)}."
        raise BentoError(f"unexpected models {listed(foreign)}", place=attribute, remedy=remedy)

    def tagged(service: Service, model: Model) -> Model:
        tag = declared.service_models.get(f"{service.name}.{model.attribute}")
        return replace(model, tag=tag.lower()) if tag else model

    services = [replace(one, models=tuple(tagged(one, model) for model in one.models)) for one in info.services]
    return replace(info, services=tuple(services))


def listed(names: Iterable[str | None]) -> str:
    """Format names in backticks, separated by commas. If `names` is empty, returns `none`."""
    return ", ".join(f"`{name}`" for name in names) or "none"


# Values that remain unknown


def way(unknown: Unknown, option_kind: OptionKind) -> str:
    """Return how to declare an unknown value with attributes or flags, or "" if the value can't be declared."""
    _, dot, key = unknown.field.partition(".")
    names = (unknown.field, unknown.kind + dot, unknown.kind)
    remedy = next((_REMEDIES[name] for name in names if name in _REMEDIES), ("", ""))
    return remedy[option_kind == "flags"].format(key=key, service=unknown.service, top=key.partition(".")[0])


def statement(attribute: str, option_kind: OptionKind) -> str:
    """Return the name of an attribute in backticks. If `option_kind` is `flags`, returns the corresponding flag."""
    return f"`{attribute if option_kind == 'attributes' else _FLAGS[attribute]}`"


def require_known(info: ServiceInfo, target: str = "", option_kind: OptionKind = "attributes") -> None:
    """Raise BentoError if `info` has unknown values. The message begins with `target`, and refers to `option_kind`."""
    missing = info.unknowns
    if not missing:
        return
    lines = [f"{unknown.path}:{unknown.line}: {unknown.what}.{_remedy(unknown, option_kind)}" for unknown in missing]
    first = len(missing) >= _MANY or any(not way(unknown, option_kind) for unknown in missing)
    if target or option_kind == "flags":  # a function does not import
        instead, end, joint = (
            (_IMPORT, "", "\n  Or:") if option_kind == "attributes" else (_IMPORT_BY_FLAG, ".", ", or:")
        )
        lines = [f"{instead[0].upper()}{instead[1:]}{joint}", *lines] if first else [*lines, f"Or {instead}{end}"]
    raise BentoError(
        "the source doesn't specify all service metadata as constants. Fix each value as described:\n  "
        + "\n  ".join(dict.fromkeys(lines)),
        place=target,
    )


def _remedy(unknown: Unknown, option_kind: OptionKind) -> str:
    remedy = way(unknown, option_kind)
    where = page(f"service-metadata.md#{unknown.topic}")
    hint = f" Specify a constant in the source (see {where}), or declare {remedy}."
    instead = "Import the service" if option_kind == "attributes" else "Build with --import --python ENV"
    return hint if remedy else f" {instead}, or change the code as described in {where}."


def check_in_full(names: Collection[str], option_kind: OptionKind) -> None:
    """Raise BentoError unless all `names` refer to metadata that can be declared completely, such as `labels`."""
    flag = "complete_metadata" if option_kind == "attributes" else "--complete"
    for name in names:
        if name not in IN_FULL:
            raise BentoError(f"invalid value {name!r}", place=flag, remedy=f"Valid values: {', '.join(IN_FULL)}.")
