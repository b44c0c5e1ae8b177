"""Tells where to state a fact that the source of a service does not state plainly: in a rule, or for the command.

The one table of these words: a message names attributes to who writes BUILD files, and flags to who types commands.
"""

from __future__ import annotations

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Literal

    from rules_bento.service.metadata import Unknown

    Words: TypeAlias = Literal["attributes", "flags"]  # type: ignore[name-defined]  # noqa: F821


class Way:
    """Tells how a kind of fact is stated, by attributes and by flags; `{key}` and `{service}` are filled in.

    No NamedTuple, for `typing` takes longest to import where a service is read; no dataclass, for it is compiled.
    """

    def __init__(self, attributes: str, flags: str) -> None:
        self.attributes = attributes
        self.flags = flags


_WAYS = {
    "services": Way(
        'services = {{"<service>": ["<services that it depends on>"]}}, the entry service first',
        "--service NAME=OTHER,OTHER, once for each service, the entry service first",
    ),
    "members": Way(
        'services, and complete_metadata = ["models"], with service_models = {{"{service}.<attribute>": "<tag>"}} for '
        "models of a class that may be changed",
        "--service, and --complete models, with --service-model {service}.ATTRIBUTE=TAG for models of a class "
        "that may be changed",
    ),
    "models.": Way(
        'models, where nothing else names one more, else service_models = {{"{service}.{key}": "<tag>"}}',
        "--service-model {service}.{key}=TAG",
    ),
    "models": Way(
        'service_models = {{"{service}.<attribute>": "<tag>"}} for each, and complete_metadata = ["models"]',
        "--service-model {service}.ATTRIBUTE=TAG for each, and --complete models",
    ),
    "config.": Way(
        'service_config = {{"{service}": service_config({top} = ...)}}',
        "--config {service}.{key}=VALUE",
    ),
    "config": Way(
        'service_config = {{"{service}": service_config(...)}}',
        "--config {service}.KEY=VALUE for each key, or --config {service}= for none",
    ),
    "labels.openai_endpoint": Way(
        'labels = {{"{key}": ...}}, or where no path does, all labels with complete_metadata = ["labels"]',
        "--label {key}=VALUE, or where no path does, all labels with --complete labels",
    ),
    "labels.": Way('labels = {{"{key}": ...}}', "--label {key}=VALUE"),
    "labels": Way(
        'labels, all of them, with complete_metadata = ["labels"]', "--label for each, and --complete labels"
    ),
    "envs.": Way('envs = ["{key}=..."]', "--env {key}=VALUE"),
    "envs": Way('envs, all of them, with complete_metadata = ["envs"]', "--env for each, and --complete envs"),
    "image": Way("environment, a bento_environment", "--image FILE, or --complete image where it has none"),
    "description": Way(
        'description or description_file, or complete_metadata = ["description"], which keeps README.md',
        "--description TEXT, or --complete description, which keeps README.md",
    ),
}
_STATEMENTS = {"services": "--service", "service_config": "--config", "service_models": "--service-model"}
IMPORT = 'set service_metadata = "import", which imports the service with its locked packages'
"""What a rule may do in place of all of them."""
_IMPORT_BY_FLAG = "build with --import --python ENV, which imports the service"
_MANY = 3  # unknown values from which on the import is offered first
IN_FULL = ("labels", "envs", "models", "image", "description")
"""Facts that can be stated as a whole."""


def way(unknown: Unknown, words: Words) -> str:
    """Say how a fact is stated elsewhere than in the source; empty where nothing states it."""
    _, dot, key = unknown.fact.partition(".")
    stated = _WAYS.get(unknown.fact) or _WAYS.get(unknown.attribute + dot) or _WAYS.get(unknown.attribute)
    if stated is None:
        return ""
    text = stated.attributes if words == "attributes" else stated.flags
    return text.format(key=key, service=unknown.service, top=key.partition(".")[0])


def statement(attribute: str, words: Words) -> str:
    """Name a statement as whoever wrote it knows it."""
    return f"`{attribute if words == 'attributes' else _STATEMENTS[attribute]}`"


def require(unknowns: Iterable[Unknown], target: str, words: Words) -> None:
    """Refuse facts of which BentoML would write something and that nothing states.

    Raises:
        BentoError: names each one with file, line and where it is stated.

    """
    missing = [unknown for unknown in unknowns if unknown.required]
    if not missing:
        return
    lines = [f"{unknown.path}:{unknown.line}: {unknown.what}.{_remedy(unknown, words)}" for unknown in missing]
    instead = IMPORT if words == "attributes" else _IMPORT_BY_FLAG
    first = len(missing) >= _MANY or any(unknown.fact == "service" for unknown in missing)
    instead = f"{instead[0].upper()}{instead[1:]}, or:" if first else f"Or {instead}."
    if target or words == "flags":  # a function does not import
        lines = [instead, *lines] if first else [*lines, instead]
    raise BentoError(
        f"{target}: " * bool(target)
        + "the source does not state all metadata of the service as constants.\n  "
        + "\n  ".join(dict.fromkeys(lines))
    )


def _remedy(unknown: Unknown, words: Words) -> str:
    text = way(unknown, words)
    return f" State it in the source, or declare {text}." if text else " State it in the source."


def check_in_full(names: Collection[str], words: Words) -> None:
    """Raise BentoError for a fact that cannot be stated as a whole."""
    flag = "complete_metadata" if words == "attributes" else "--complete"
    for name in names:
        if name not in IN_FULL:
            raise BentoError(f"{flag}: {name!r} isn't a kind of service metadata. Valid values: {', '.join(IN_FULL)}.")
