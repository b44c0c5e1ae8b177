"""What static analysis takes of a service's configuration, BentoML takes. The import decides about the rest."""

from __future__ import annotations

from typing import Any

from rules_bento.bentos.service.configuration import KEYS, config_problem

VALUES: list[Any] = [None, True, False, 0, 1, -1, 64, 65, 0.0, 0.5, 1.0, 1.5, -0.5, "", "1", "500m", "cpu_count"]
VALUES += [[], ["a"], [1], [1.5], [True], [None], ["a", 1], {}, {"a": 1}, {"enabled": "yes"}]


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


def test_bentoml_accepts_accepted_configurations():
    paths = [*KEYS, *(f"{path}.unknown" for path in KEYS), "traffic", "resources", "unknown"]
    taken = [nested(path, value) for path in paths for value in VALUES if is_taken(nested(path, value))]
    assert len(taken) > 80
    assert is_taken_by_bentoml(*taken), [config for config in taken if not is_taken_by_bentoml(config)]
