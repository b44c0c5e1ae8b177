"""What static analysis takes of a service's configuration, BentoML takes. The import decides about the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rules_bento.bentos.service.configuration import KEYS, config_problem
from typing_extensions import get_type_hints, is_typeddict

VALUES: list[Any] = [None, True, False, 0, 1, -1, 64, 65, 0.0, 0.5, 1.0, 1.5, -0.5, "", "1", "500m", "cpu_count"]
VALUES += [[], ["a"], [1], [1.5], [True], [None], ["a", 1], {}, {"a": 1}, {"enabled": "yes"}, [["a", "b"]], {1: "a"}]
VALUES += ["127.0.0.1", "::1", "1.2.3", "(", "a+", "otlp", "zipkin", "thrift", "grpc", "http", "gzip", "GRPC", 1.001]


def nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def is_taken(config: dict[str, Any]) -> bool:
    return not any(config_problem(key, value) for key, value in config.items())


def is_taken_by_bentoml(*configs: dict[str, Any]) -> bool:
    """Whether it takes all of them, each of another service, by the function that gives services theirs."""
    from bentoml._internal.configuration import load_config
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml.exceptions import BentoMLConfigException

    services = {f"Service{number}": config for number, config in enumerate(configs)}
    try:
        load_config(override_defaults={"services": services}, use_version=2)
    except BentoMLConfigException:
        return False
    # A service is built and served with what is found by its name.
    return services.keys() <= BentoMLContainer.config.get()["services"].keys()


def merged(into: dict[str, Any], config: dict[str, Any]) -> None:
    for key, value in config.items():
        if isinstance(value, dict) and key in into:
            merged(into[key], value)
        else:
            into[key] = value


def accepted(paths: Iterable[str]) -> dict[str, list[Any]]:
    return {path: [value for value in VALUES if is_taken(nested(path, value))] for path in paths}


def test_bentoml_accepts_accepted_configurations():
    taken = accepted(KEYS)
    assert sum(map(len, taken.values())) > 500
    services = [dict[str, Any]() for _ in VALUES]  # few with many keys: BentoML copies its defaults for each
    for path, values in taken.items():
        for service, value in zip(services, values, strict=False):
            merged(service, nested(path, value))
    others = accepted([*(f"{path}.unknown" for path in KEYS), "traffic", "resources", "unknown"])
    services = [*filter(None, services), *(nested(path, value) for path, some in others.items() for value in some)]
    every = [nested(path, value) for path, values in taken.items() for value in values]
    assert is_taken_by_bentoml(*services), [config for config in every if not is_taken_by_bentoml(config)]


def test_each_key_of_bentoml_has_a_type_with_values():
    from _bentoml_sdk.service.config import ServiceConfig

    def keys(schema: Any, prefix: str = "") -> set[str]:
        found = [(f"{prefix}{name}", kind) for name, kind in get_type_hints(schema).items()]
        return {key for path, kind in found for key in (keys(kind, f"{path}.") if is_typeddict(kind) else {path})}

    assert KEYS.keys() == keys(ServiceConfig)
    assert [key for key in KEYS if not any(is_taken(nested(key, value)) for value in VALUES)] == []
