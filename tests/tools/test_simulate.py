"""What bench/simulate.py reckons is what one reckons by hand for a small world, and the same each time."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
SPEC = importlib.util.spec_from_file_location("simulate", BENCH / "simulate.py")
assert SPEC
assert SPEC.loader
simulate = importlib.util.module_from_spec(SPEC)
sys.modules["simulate"] = simulate  # where its records look for their annotations
SPEC.loader.exec_module(simulate)

ARCHIVE = {"actions": 1, "inputs": 4, "bytes": 1_000}
COUNTED = {
    "changes": {
        "from nothing": {"BentoArchive": {"actions": 2, "inputs": 4, "bytes": 2_000}},
        simulate.LINE: {"BentoArchive": ARCHIVE},
        simulate.LIBRARY: {"BentoArchive": ARCHIVE},
        simulate.LOCK: {"BentoArchive": ARCHIVE},
        simulate.MODEL: {
            "BentoArchive": {"actions": 1, "inputs": 4, "bytes": 6_000},
            "BentoModel": {"actions": 1, "inputs": 4, "bytes": 300},
            "BentoModelPart": {"actions": 1, "inputs": 4, "bytes": 5_000},
        },
    }
}
IMAGE = simulate.MEASURED["bytes of an image"].value
GROUP = simulate.MEASURED["a group"].value
LARGE, RECIPE = (simulate.MEASURED[name].value for name in ("a large wheel", "a recipe"))
MODEL = 100 * simulate.MB


def world(change: str, **fields: Any) -> Any:
    """One commit a day for ten days, all of them changes of one kind; each service has a model."""
    given: dict[str, Any] = {
        "services": 20,
        "developers": 0,
        "commits_per_hour": 1,
        "hours": 1,
        "days": 10,
        "retention": 4,
    }
    given |= {"libraries": 4, "needed_by": 10, "closures": 3, "mix": ((change, 1.0),), "models": ((MODEL, 1.0),)}
    return simulate.World(**given | fields)


def cost(change: str, choice: Any = None, **fields: Any) -> Any:
    return simulate.Simulation(world(change, **fields), choice or simulate.Choice(), simulate.Gate(COUNTED)).run()


def test_a_line_writes_one_services_archive_with_its_model() -> None:
    whole, without = cost(simulate.LINE), cost(simulate.LINE, simulate.Choice(archives=simulate.WITHOUT))
    assert whole.uploaded == pytest.approx(10 * (1_000 + IMAGE + MODEL))
    assert without.uploaded == pytest.approx(10 * (1_000 + IMAGE))
    assert whole.actions == 10 * (1 + simulate.OF_IMAGE)
    assert whole.cpu - without.cpu == pytest.approx(10 * MODEL * simulate.MEASURED["a byte that is joined"].value)


def test_a_library_changes_its_share_of_the_services_and_a_package_the_layers_of_as_many_closures() -> None:
    assert cost(simulate.LIBRARY).actions == 10 * (20 // 4) * (1 + simulate.OF_IMAGE)
    small = 2 * (1_000 + IMAGE + MODEL)  # 20 services, of which one in ten needs it
    assert cost(simulate.LOCK, large=0).uploaded == pytest.approx(10 * (small + 2 * GROUP))
    assert cost(simulate.LOCK, large=0, closures=1).uploaded == pytest.approx(10 * (small + GROUP))
    assert cost(simulate.LOCK, large=0.5).uploaded == pytest.approx(10 * (small + GROUP + LARGE / 2))


def test_a_recipe_replaces_the_layer_of_a_large_wheel_in_the_cache_but_not_in_the_registry() -> None:
    files, recipes = (
        cost(simulate.LOCK, simulate.Choice(layers=layers), large=0.5) for layers in (simulate.GROUPS, simulate.RECIPES)
    )
    assert files.uploaded - recipes.uploaded == pytest.approx(10 * (LARGE - RECIPE) / 2)
    assert files.pushed == recipes.pushed


def test_a_model_is_written_as_a_part_and_in_the_archive() -> None:
    assert cost(simulate.MODEL).uploaded == pytest.approx(10 * (1_300 + IMAGE + 2 * MODEL))


def test_fresh_runners_ask_for_all_and_kept_ones_for_what_runs() -> None:
    fresh, kept = cost(simulate.LINE), cost(simulate.LINE, simulate.Choice(runners=simulate.KEPT))
    each, by_developers = 1 + simulate.OF_IMAGE, 10
    assert fresh.looked_up == 10 * 20 * each + by_developers
    assert kept.looked_up == 10 * each + by_developers


def test_what_nothing_uses_leaves_the_cache() -> None:
    service = 1_000 + IMAGE + MODEL
    current = 20 * (service + MODEL)  # archive and part
    assert cost(simulate.LINE).held == pytest.approx(current + 4 * service, rel=1e-6)
    assert cost(simulate.LINE, retention=10).held == pytest.approx(current + 10 * service, rel=1e-6)
    # One service, which each commit changes: what was replaced was used last when it was written, a day before.
    kept = cost(simulate.LINE, simulate.Choice(runners=simulate.KEPT), services=1)
    assert kept.held == pytest.approx(service + 3 * service, rel=1e-6)


def test_two_runs_have_one_result() -> None:
    gate = simulate.Gate(json.loads((BENCH / "gate.json").read_text("utf-8")))
    small = simulate.World(services=100, days=3)
    first = simulate.tables(small, gate)
    assert first == simulate.tables(small, gate)
    assert first != simulate.tables(simulate.World(services=100, days=3, seed=20), gate)
