"""Which wheels share a layer: every one is somewhere, few layers, little changes when a package does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento import layer_plan
from rules_bento.layer_plan import ALONE, BUDGET, TOGETHER, plan

MB = 1 << 20
NAME = st.from_regex(r"[a-z][a-z0-9]{0,11}(-[a-z0-9]{1,8})?", fullmatch=True)
SIZES = st.dictionaries(NAME, st.integers(0, 64 * MB), max_size=150)


def service(packages=120):
    """Packages as a service has them: many small ones, a few large ones."""
    sizes = {f"package-{number}": (number * 7919) % 1800 * 1000 for number in range(packages)}
    return sizes | {"numpy": 17 * MB, "scipy": 35 * MB, "torch": 180 * MB, "pyarrow": 45 * MB}


def groups(sizes, **limits):
    return {frozenset(group) for group in plan(sizes, **limits)}


@settings(deadline=None)
@given(SIZES, st.integers(1, 60))
def test_each_is_in_one_layer_within_the_budget(sizes, budget):
    layers = plan(sizes, budget=budget)
    assert sorted(name for layer in layers for name in layer) == sorted(sizes)
    assert len(layers) <= budget
    assert all(layers)


@settings(deadline=None)
@given(SIZES)
def test_the_order_has_no_say(sizes):
    backwards = dict(reversed(sizes.items()))
    assert plan(sizes) == plan(backwards)


def test_large_ones_stand_alone_and_groups_are_small():
    sizes = service()
    layers = plan(sizes)
    assert len(layers) <= BUDGET
    for layer in layers:
        if any(sizes[name] >= ALONE for name in layer):
            assert len(layer) == 1
        else:
            assert sum(sizes[name] for name in layer) <= TOGETHER
    assert [layer for layer in layers if "torch" in layer] == [["torch"]]


def test_little_is_one_layer():
    assert plan({"b": 10, "a": 20}) == [["a", "b"]]
    assert plan({}) == []
    assert plan({"empty": 0}) == [["empty"]]


@pytest.mark.parametrize("change", [-900_000, -1000, 0, 1000, 900_000])
def test_an_upgrade_changes_its_own_group(change):
    sizes = service()
    before = groups(sizes)
    for name in sizes:
        after = groups(sizes | {name: max(0, sizes[name] + change)})
        # The group of the package is another one anyway; apart from it, it may part in two.
        assert len({group for group in after - before if name not in group}) <= 1
        assert len(before - after) <= 2


def test_a_package_that_comes_or_goes_leaves_the_rest_alone():
    sizes = service()
    before = groups(sizes)
    for name in sizes:
        after = groups({other: size for other, size in sizes.items() if other != name})
        assert len(after - before) <= 1
        assert len(before - after) <= 2


def test_other_limits():
    sizes = {f"package-{number}": MB for number in range(64)}
    assert plan(sizes, budget=1) == [sorted(sizes)]
    assert len(plan(sizes, budget=100, alone=MB)) == 64
    assert len(plan(sizes, budget=100, together=4 * MB)) >= 16
    with pytest.raises(ValueError, match="positive"):
        plan(sizes, budget=0)


def test_the_hash_is_the_one_of_starlark():
    """It must not change unseen: the plan is part of what names layers."""
    assert layer_plan._hash("hello") == 99162322 * layer_plan._MIX % 2**32
