"""Types of the configuration and variables of services that static analysis supports. BentoML accepts these values.

They are part of `bentoml._internal.configuration.v2`. As in BentoML, True is valid as a positive number but not as an
integer.
"""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import Any, Callable, Mapping


class ValueType(NamedTuple):
    """A type of values. `words` describes the type in messages. `holds` returns whether a value has the type."""

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: ValueType) -> ValueType:
        """Return a type that accepts the values of either type."""
        return ValueType(f"{self.words} or {other.words}", lambda value: self.holds(value) or other.holds(value))


NONE = ValueType("None", lambda value: value is None)
BOOL = ValueType("True or False", lambda value: isinstance(value, bool))
TEXT = ValueType("a string", lambda value: isinstance(value, str))
LIST = ValueType("a list", lambda value: isinstance(value, list))
TEXTS = ValueType("a list of strings", lambda value: isinstance(value, list) and all(map(TEXT.holds, value)))
_ABOVE_0 = ValueType("a number above 0", lambda value: isinstance(value, (int, float)) and value > 0)
_WHOLE_ABOVE_0 = ValueType("a whole number above 0", lambda value: type(value) is int and value > 0)
_AMOUNT = ValueType('a number or text such as "500m"', lambda value: type(value) in (int, float, str))
_WORKERS = ValueType('"cpu_count"', lambda value: value == "cpu_count") | _WHOLE_ABOVE_0 | NONE

KEYS: Mapping[str, ValueType] = {
    **dict.fromkeys(("resources.cpu", "resources.memory"), _AMOUNT),
    **dict.fromkeys(("resources.gpu", "traffic.timeout"), _ABOVE_0),
    **dict.fromkeys(("traffic.concurrency", "traffic.max_concurrency"), _WHOLE_ABOVE_0 | NONE),
    **dict.fromkeys(("metrics.namespace", "resources.gpu_type"), TEXT),
    **dict.fromkeys(("metrics.enabled", "monitoring.enabled", "http.cors.enabled", "traffic.external_queue"), BOOL),
    **{f"http.cors.access_control_allow_{name}": TEXTS | TEXT for name in ("headers", "methods", "origins")},
    "http.port": _WHOLE_ABOVE_0,
    "workers": _WORKERS,
}  # fmt: skip


def config_problem(path: str, value: object) -> str:
    """Return why static analysis doesn't support a value of a service's configuration, or an empty string."""
    if kind := KEYS.get(path):
        return "" if kind.holds(value) else f"`{path}`: expected {kind.words}, got {value!r}"
    if isinstance(value, dict) and value:
        return next(filter(None, (config_problem(f"{path}.{key}", each) for key, each in value.items())), "")
    return f"`{path}` isn't a supported key of the configuration"


def env_problem(name: object, value: object) -> str:
    """Return why BentoML rejects an environment variable of a service when it builds or serves it, or ""."""
    if not isinstance(name, str) or not name:
        return f"the name of a variable must be a nonempty string, got {name!r}"
    if value is None or isinstance(value, str):
        return ""
    is_scalar = isinstance(value, (bool, int, float))
    got = f", such as '{value}', got {value!r}" if is_scalar else f", got a {type(value).__name__}"
    return f"the value of {name} must be a string{got}"
