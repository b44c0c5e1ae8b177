"""Explains how to state a value that the source of a service does not state as a constant, in a rule or a command."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Collection, Literal, TypeAlias

if TYPE_CHECKING:
    from rules_bento.service.metadata import ServiceInfo, Unknown

    Words: TypeAlias = Literal["attributes", "flags"]

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
        'labels = {{"{key}": ...}}, or without such a path, all labels with complete_metadata = ["labels"]',
        "--label {key}=VALUE, or without such a path, all labels with --complete labels",
    ),
    "labels.": ('labels = {{"{key}": ...}}', "--label {key}=VALUE"),
    "labels": ('all labels with complete_metadata = ["labels"]', "each --label, and --complete labels"),
    "envs.": ('envs = ["{key}=..."]', "--env {key}=VALUE"),
    "envs": ('all envs with complete_metadata = ["envs"]', "each --env, and --complete envs"),
    "image": ("environment, a bento_environment", "--image FILE, or --complete image without one"),
    "description": (
        'description or description_file, or complete_metadata = ["description"], which keeps README.md',
        "--description TEXT, or --complete description, which keeps README.md",
    ),
}
_FLAGS = {"service_config": "--config", "service_models": "--service-model"}
IMPORT = 'set service_metadata = "import", which imports the service with BentoML'
"""What a rule may do instead of all of them."""
_IMPORT_BY_FLAG = "build with --import --python ENV, which imports the service"
_MANY = 3  # unknown values from which on the import is offered first
IN_FULL = ("labels", "envs", "image", "description")
"""Kinds of values that can be declared completely."""


def way(unknown: Unknown, words: Words) -> str:
    """Return how to state a value outside of the source; empty if only an import gives it."""
    _, dot, key = unknown.fact.partition(".")
    names = (unknown.fact, unknown.kind + dot, unknown.kind)
    remedy = next((_REMEDIES[name] for name in names if name in _REMEDIES), ("", ""))
    return remedy[words == "flags"].format(key=key, service=unknown.service, top=key.partition(".")[0])


def statement(attribute: str, words: Words) -> str:
    """Return the name of an attribute or its flag."""
    return f"`{attribute if words == 'attributes' else _FLAGS[attribute]}`"


def require_known(info: ServiceInfo, target: str = "", words: Words = "attributes") -> None:
    """Raise BentoError for values that the source doesn't state, with file, line, and how to state each one."""
    missing = info.unknowns
    if not missing:
        return
    lines = [f"{unknown.path}:{unknown.line}: {unknown.what}.{_remedy(unknown, words)}" for unknown in missing]
    instead = IMPORT if words == "attributes" else _IMPORT_BY_FLAG
    first = len(missing) >= _MANY or any(not way(unknown, words) for unknown in missing)
    if target or words == "flags":  # a function does not import
        lines = [f"{instead[0].upper()}{instead[1:]}, or:", *lines] if first else [*lines, f"Or {instead}."]
    raise BentoError(
        f"{target}: " * bool(target)
        + "the source does not state all metadata of the service as constants. Fix each value:\n  "
        + "\n  ".join(dict.fromkeys(lines))
    )


def _remedy(unknown: Unknown, words: Words) -> str:
    remedy = way(unknown, words)
    return f" State it in the source, or declare {remedy}." if remedy else " Use Python that static analysis supports."


def check_in_full(names: Collection[str], words: Words) -> None:
    """Raise BentoError for a kind of value that can't be declared completely."""
    flag = "complete_metadata" if words == "attributes" else "--complete"
    for name in names:
        if name not in IN_FULL:
            raise BentoError(f"{flag}: {name!r} isn't a kind of service metadata. Valid values: {', '.join(IN_FULL)}.")
