"""What BentoML takes of a service's configuration is taken, and nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest
from rules_bento.errors import BentoError
from rules_bento.service.configuration import KINDS, TABLES, check
from rules_bento.service.metadata import Service, ServiceInfo

VALUES: list[Any] = [None, True, False, 0, 1, -1, 64, 65, 0.0, 0.5, 1.0, 1.5, -0.5, "", "1", "500m", "cpu_count"]
VALUES += [
    *("127.0.0.1", "::1", "localhost", "(", "a+", "grpc", "GRPC", "http", "zipkin", "Jaeger", "none", "None", "gzip")
]
VALUES += [[], ["a"], [1], [1.5], [True], [None], ["a", 1], {}, {"a": 1}, {"enabled": "yes"}]


def paths() -> list[tuple[str, ...]]:
    """All keys that BentoML knows, tables among them, and one beside each that it does not."""
    known = [tuple(path.split(".")) for path in sorted([*KINDS, *TABLES])]
    return [("unknown",), *known, *((*path, "unknown") for path in known if ".".join(path) in TABLES)]


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value


def configured(config: dict[str, Any]) -> ServiceInfo:
    service = Service("Service", "Service", "service.py", 5, config=config)
    return ServiceInfo("service:Service", "service.py", "new", "service", "Service", (service,))


def is_taken(config: dict[str, Any]) -> bool:
    try:
        check(configured(config))
    except BentoError:
        return False
    return True


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


def test_bentoml_accepts_accepted_configurations():
    taken = [nested(path, value) for path in paths() for value in VALUES if is_taken(nested(path, value))]
    assert len(taken) > 500
    assert is_taken_by_bentoml(*taken), [config for config in taken if not is_taken_by_bentoml(config)]


def test_bentoml_rejects_rejected_configurations():
    """Of each key None and another value, drawn again in each run, because each takes time."""
    chance = random.Random()
    refused = [[nested(path, value) for value in VALUES if not is_taken(nested(path, value))] for path in paths()]
    drawn = [
        config for first, *rest in filter(None, refused) for config in (first, *chance.sample(rest, min(1, len(rest))))
    ]
    assert len(drawn) > 150
    assert [config for config in drawn if is_taken_by_bentoml(config)] == []


def test_a_rejected_configuration_is_reported_with_its_key():
    words = r"service\.py:5: service `Service`: `traffic\.timeout`: expected a number above 0, got '5'"
    with pytest.raises(BentoError, match=words):
        check(configured({"traffic": {"timeout": "5"}}))


@pytest.mark.parametrize("config", [{"traffic": {}}, {"a": {"b": {}}, "c": {}}])
def test_empty_dicts_are_rejected(config: dict[str, Any]):
    with pytest.raises(BentoError, match=r"service\.py:5: service `Service`: .*: expected a dict with values, got {}"):
        check(configured(config))
    assert not is_taken_by_bentoml(config)
    assert is_taken({})
