"""Recipes of layers: the bytes of the layer from the bytes of the wheel, and nothing from another wheel."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.base.archives.recipe import MAGIC, Recipe, assemble
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.layer import write_wheel_layer, write_wheel_recipe
from rules_bento.images.registry.blob_sources import RecipeSource
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import LAYOUT, odd_wheel
from tests.helpers.made_wheels import Maker


def written(directory, wheel):
    """Write layer and recipe of a wheel, and return the description and the layer's bytes."""
    info = write_wheel_layer(directory / "layer", Wheel.read(wheel), LAYOUT, "gzip")
    assert write_wheel_recipe(directory / "recipe", Wheel.read(wheel), LAYOUT) == info
    return info, (directory / "layer").read_bytes()


@pytest.fixture
def odd(tmp_path):
    wheel = odd_wheel().write(tmp_path)
    return wheel, tmp_path / "recipe", *written(tmp_path, wheel)


def test_the_layer_is_assembled(odd):
    wheel, recipe, info, layer = odd
    assert b"".join(assemble(recipe, wheel, info.digest, info.size)) == layer


def test_any_range_is_assembled(odd):
    wheel, recipe, _, layer = odd
    chance = random.Random(0)
    for _ in range(200):
        start, end = sorted(chance.choices(range(len(layer) + 1), k=2))
        assert b"".join(Recipe(recipe, wheel).pieces(start, end)) == layer[start:end]


contents = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), st.integers(0, 600_000)),
    st.builds(lambda unit, count: unit * count, st.binary(min_size=1, max_size=40), st.integers(0, 30_000)),
)


@settings(max_examples=60)
@given(files=st.lists(st.tuples(contents, st.booleans()), max_size=8), level=st.integers(0, 9))
def test_the_recipe_of_any_wheel_is_its_layer(tmp_path_factory, files, level):
    directory = tmp_path_factory.mktemp("wheel")
    maker = Maker()
    for number, (data, stored) in enumerate(files):
        maker.add({f"odd/{number}.bin": data}, stored=stored)
    wheel = maker.write(directory, level=level)
    info, layer = written(directory, wheel)
    assert b"".join(assemble(directory / "recipe", wheel, info.digest, info.size)) == layer


def test_a_wheel_with_another_byte_is_rejected(odd):
    wheel, recipe, info, _ = odd
    data = bytearray(wheel.read_bytes())
    offset = next(offset for literal, offset, _ in Recipe(recipe, wheel)._parts if not literal)
    data[offset + 5] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(BentoError, match=f"doesn't match the digest {info.digest}"):
        RecipeSource(recipe, wheel, info.digest, info.size).check(info.digest, info.size)


def test_a_missing_wheel_or_recipe_is_named(odd, tmp_path):
    wheel, recipe, info, _ = odd
    with pytest.raises(BentoError, match=r"missing\.whl: cannot read the file"):
        list(assemble(recipe, tmp_path / "missing.whl", info.digest, info.size))
    with pytest.raises(BentoError, match=r"missing: cannot read the file"):
        list(assemble(tmp_path / "missing", wheel, info.digest, info.size))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("wheel", lambda data: data[:1000], "the wheel ends before a part that"),
        ("recipe", lambda data: data[1:], "Build the image again"),
        ("recipe", lambda data: data[:-1], "Build the image again"),
        ("recipe", lambda data: data + bytes(19), "Build the image again"),
    ],
)
def test_a_shorter_wheel_and_a_damaged_recipe_are_rejected(odd, name, change, message):
    wheel, recipe, info, _ = odd
    path = {"wheel": wheel, "recipe": recipe}[name]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BentoError, match=message):
        list(assemble(recipe, wheel, info.digest, info.size))


def test_the_number_of_segments_is_bounded(tmp_path, monkeypatch):
    (tmp_path / "recipe").write_bytes(MAGIC + struct.pack("<IQQ", 0, 0, 1) * 5)
    assert Recipe(tmp_path / "recipe", tmp_path / "wheel").size == 5
    monkeypatch.setattr("rules_bento.base.archives.recipe._MAX_SEGMENTS", 4)
    with pytest.raises(BentoError, match="the file is damaged"):
        Recipe(tmp_path / "recipe", tmp_path / "wheel")
