"""The groups of wheels in Python are those of the Starlark file, which is also valid Python."""

import random
from pathlib import Path

import pytest
from rules_bento.images import plan

STARLARK = Path("private/wheel_groups.bzl")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"


def java_hash(text):
    """Starlark's `hash`, which is `String.hashCode` of Java."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def test_the_hash_is_that_of_java():
    assert java_hash("hello") == 99162322
    assert java_hash("polygenelubricants") == -(1 << 31)


@pytest.fixture(scope="module")
def starlark():
    functions = {"hash": java_hash}
    exec(STARLARK.read_text("utf-8"), functions)
    return functions


def test_the_limits_are_those_of_starlark(starlark):
    assert (starlark["ALONE"], starlark["TOGETHER"]) == (plan.ALONE, plan.TOGETHER)
    assert f"_MAX_WHEEL_LAYERS = {plan._MAX_WHEEL_LAYERS}\n" in Path("private/image.bzl").read_text("utf-8")


@pytest.mark.parametrize("budget", [0, 1, 2, 5, 40, 100])
def test_the_groups_are_those_of_starlark(budget, starlark):
    chance = random.Random(budget)
    for count in (0, 1, 2, 30, 120, 300):
        names = ["".join(chance.choices(LETTERS, k=chance.randint(1, 20))) for _ in range(count)]
        sizes = {name: int(10 ** chance.uniform(2, 8)) for name in names}
        assert plan.group_wheels(sizes, budget) == starlark["group_wheels"](sizes, budget)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ({"a": plan.ALONE - 1, "b": plan.ALONE, "c": plan.ALONE + 1, "d": 0}, [["a", "d"], ["b"], ["c"]]),
        (dict.fromkeys(LETTERS[:36], plan.TOGETHER // 36), [sorted(LETTERS[:36])]),
        (dict.fromkeys(LETTERS[:36], plan.TOGETHER // 36) | {"d": plan.TOGETHER // 36 + 99}, None),
    ],
)
def test_the_limits_of_sizes_belong_to_the_larger_group(sizes, groups, starlark):
    found = plan.group_wheels(sizes, 40)
    assert found == starlark["group_wheels"](sizes, 40)
    assert found == groups or (groups is None and len(found) > 1)
