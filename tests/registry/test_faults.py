"""Connections that end, lie or stall at seeded places: what is pushed and pulled through them is right, or an error."""

import os
import random
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import pull
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.registry import servers
from tests.registry.images import make_image
from tests.registry.relay import DOWN, UP, Answer, Cut, Flip, Length, Relay

SEEDS = int(os.environ.get("RULES_BENTO_EXAMPLES", "10"))  # a longer run: 25 and more
PATIENCE = 0.5  # seconds
CUTS = 5  # of each seed: 50 while pushing, 50 while pulling
SIZES = (400_000, 60_000, 900)


@pytest.fixture
def hasty():
    """Clients that soon give up on bytes that were announced and never come."""
    with Registries(sleep=lambda _: None, patience=PATIENCE) as made:
        yield made


def push_through(server, faults, registries, progress, directory: Path, repository: str, rate: int = 0):
    """Push a fresh image through a relay and look, past it, whether all is there."""
    seed = random.Random(repository).randrange(1 << 30)
    image = make_image(directory / "image", SIZES, seed)
    with Relay(server.port, faults, rate) as relay:
        push(image, [Reference.parse(f"{relay.host}/{repository}:v1")], registries, progress, jobs=2)
    assert servers.get(server, f"/v2/{repository}/manifests/v1") == (200, image.root.content)
    stored = server.blobs()
    for blob in image.blobs():
        status, _ = servers.get(server, f"/v2/{repository}/blobs/{blob.digest}", "HEAD")
        assert status == 200
        assert stored[blob.digest].stat().st_size == blob.size
    server.assert_sound()
    return relay


def pull_through(server, faults, registries, progress, directory: Path, repository: str, rate: int = 0):
    """Pull through a relay into a layout, in which all must be right."""
    with Relay(server.port, faults, rate) as relay:
        layout = Layout.create(directory / "layout")
        pull([Reference.parse(f"{relay.host}/{repository}:v1")], layout, registries, progress, name="v1")
    package = layout.pushable("v1")
    for blob in package.blobs():
        package.sources[blob.digest].check(blob.digest, blob.size)
    assert not [path for path in (directory / "layout").rglob("*.part") if path.stat().st_size]
    return relay


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_push_that_is_interrupted_anywhere_is_completed(server, registries, progress, tmp_path, seed):
    chance = random.Random(seed)
    faults = [Cut(UP, chance.randrange(sum(SIZES) + 5_000), chance.random() < 0.5) for _ in range(CUTS - 1)]
    faults.append(Cut(DOWN, chance.randrange(3_000), chance.random() < 0.5))
    relay = push_through(server, faults, registries, progress, tmp_path, f"cut/{seed}")
    assert len(relay.happened) >= CUTS - 1


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_pull_that_is_interrupted_anywhere_is_completed(server, registries, progress, tmp_path, seed):
    push_through(server, (), registries, progress, tmp_path, f"cut-pull/{seed}")
    chance = random.Random(1000 + seed)
    faults = [Cut(DOWN, chance.randrange(sum(SIZES)), chance.random() < 0.5) for _ in range(CUTS)]
    relay = pull_through(server, faults, registries, progress, tmp_path, f"cut-pull/{seed}")
    assert len(relay.happened) == CUTS


@pytest.mark.parametrize("seed", range(SEEDS))
def test_bytes_that_change_on_their_way_are_never_accepted(server, hasty, registries, progress, tmp_path, seed):
    chance = random.Random(2000 + seed)
    repository = f"flip/{seed}"
    try:
        push_through(server, [Flip(UP, chance.randrange(sum(SIZES)))], hasty, progress, tmp_path, repository)
    except BentoError:
        # A changed header can be an honest refusal. Nothing wrong may be there, and the next push repairs.
        server.assert_sound()
        push_through(server, (), registries, progress, tmp_path, repository)
    try:
        faults = [Flip(DOWN, chance.randrange(sum(SIZES)))]
        pull_through(server, faults, hasty, progress, tmp_path / "pulled", repository)
    except BentoError:
        pull_through(server, (), registries, progress, tmp_path / "pulled", repository)


@pytest.mark.parametrize("change", [-1, 1000])
@pytest.mark.parametrize("number", [1, 2, 4, 6])
def test_a_wrong_length_is_noticed(server, hasty, registries, progress, tmp_path, change, number):
    repository = f"length/{number}/{'less' if change < 0 else 'more'}{abs(change)}"
    push_through(server, (), registries, progress, tmp_path, repository)
    try:
        pull_through(server, [Length(number, change)], hasty, progress, tmp_path, repository)
    except BentoError:
        pull_through(server, (), registries, progress, tmp_path, repository)


# Each status, and each place: whether it is tried again is decided by the status alone.
@pytest.mark.parametrize(
    ("number", "status"), [(1, 408), (3, 429), (5, 500), (7, 502), (9, 503), (11, 504), (1, 503), (5, 429)]
)
def test_a_server_that_is_busy_is_retried(server, registries, progress, tmp_path, status, number):
    faults = [Answer(number, status), Answer(number + 1, status)]
    relay = push_through(server, faults, registries, progress, tmp_path, f"busy/{status}/{number}")
    assert len(relay.happened) == 2
    faults = [Answer(number % 6 + 1, status)]
    pull_through(server, faults, registries, progress, tmp_path, f"busy/{status}/{number}")


def test_a_server_that_says_how_long_to_wait_is_left_alone_for_so_long(server, progress, tmp_path):
    waits: list[float] = []
    with Registries(sleep=waits.append) as registries:
        faults = [Answer(4, 429, "Retry-After: 7\r\n")]
        push_through(server, faults, registries, progress, tmp_path, "asked/wait")
    assert waits == [7.0]


def test_a_server_that_stays_busy_is_an_error_that_says_so(server, registries, progress, tmp_path):
    faults = [Answer(number, 503) for number in range(2, 40)]
    with pytest.raises(BentoError, match=r"returned 503.*Several attempts failed"):
        push_through(server, faults, registries, progress, tmp_path, "busy/always")


def test_a_pull_continues_where_another_run_was_killed(server, registries, progress, tmp_path):
    push_through(server, (), registries, progress, tmp_path, "killed/pull")
    layout = Layout.create(tmp_path / "layout")
    reference = Reference.parse(f"{server.host}/killed/pull:v1")
    image = make_image(tmp_path / "image", SIZES, random.Random("killed/pull").randrange(1 << 30))
    largest = image.blobs()[0]
    left = layout.blob(largest.digest)
    whole = (tmp_path / "image" / left.name).read_bytes()
    left.with_name(f".{left.name}.part").write_bytes(whole[:350_000])
    with Relay(server.port) as relay:
        through = Reference.parse(f"{relay.host}/{reference.repository}:v1")
        pull([through], layout, registries, progress)
    assert relay.carried(DOWN) < sum(SIZES) - 300_000
    assert left.read_bytes() == whole


def test_what_another_run_left_may_be_wrong(server, registries, progress, tmp_path):
    push_through(server, (), registries, progress, tmp_path, "left/wrong")
    layout = Layout.create(tmp_path / "layout")
    image = make_image(tmp_path / "image", SIZES, random.Random("left/wrong").randrange(1 << 30))
    for blob, content in zip(image.blobs(), (b"wrong", bytes(2_000_000), b""), strict=False):
        left = layout.blob(blob.digest)
        left.parent.mkdir(parents=True, exist_ok=True)
        left.with_name(f".{left.name}.part").write_bytes(content)
    pull([Reference.parse(f"{server.host}/left/wrong:v1")], layout, registries, progress)
    for blob in image.blobs():
        image.sources[blob.digest].check(blob.digest, blob.size)
        assert layout.blob(blob.digest).read_bytes() == (tmp_path / "image" / blob.digest[7:]).read_bytes()
