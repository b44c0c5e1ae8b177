"""Uploads that go on where they were cut, or in the chunks that a server insists on."""

import signal
import threading
from typing import NamedTuple

import pytest
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import pause
from rules_bento.images.registry import push_to_registry as push_module
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.push_records import InterruptedUploads
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.registry.images import make_image
from tests.registry.relay import UP, Cut, Relay
from tests.registry.stand_in import Registry

SIZES = (400_000, 60_000, 900)


@pytest.fixture(autouse=True)
def small_is_safe(monkeypatch):
    monkeypatch.setattr(push_module, "_MAX_SINGLE_REQUEST", 50_000)
    monkeypatch.setattr(push_module, "_MAX_CHUNKS", {413: 256_000, 416: 40_000})
    monkeypatch.setattr(push_module, "_MIN_CHUNK", 4_000)


def push_to(port: int, image, registries, progress) -> None:
    push(image, [Reference.parse(f"127.0.0.1:{port}/x:v1")], registries, progress)


def assert_stored(registry: Registry, image) -> None:
    assert registry.manifests["/v2/x/manifests/v1"] == image.root.content
    for blob in image.blobs():
        assert registry.blobs[blob.digest] == image.sources[blob.digest].path.read_bytes()


@pytest.mark.parametrize("largest", [300_000, 100_000, 5_000])
def test_a_limit_of_the_server_is_found_and_kept(registries, progress, tmp_path, largest):
    image = make_image(tmp_path, SIZES)
    registry = Registry(largest=largest)
    with registry.serve() as port:
        push_to(port, image, registries, progress)
    assert_stored(registry, image)
    assert max(registry.chunks) <= largest


def test_a_first_attempt_has_no_range(registries, progress, tmp_path):
    image = make_image(tmp_path, SIZES)
    registry = Registry(largest_range=4_000)
    with registry.serve() as port:
        push_to(port, image, registries, progress)
    assert_stored(registry, image)
    assert registry.chunks == [400_000, 60_000] or registry.chunks == [60_000, 400_000]


@pytest.mark.parametrize("largest", [300_000, 40_000, 5_000])
def test_an_upload_is_continued_in_ranges_that_the_server_accepts(registries, progress, tmp_path, largest):
    image = make_image(tmp_path, SIZES)
    registry = Registry(largest_range=largest)
    with registry.serve() as port, Relay(port, [Cut(UP, 100_000)]) as relay:
        push_to(relay.port, image, registries, progress)
    assert_stored(registry, image)
    assert registry.received < sum(SIZES) + 100_000


def test_a_limit_below_all_sense_is_an_error(registries, progress, tmp_path):
    registry = Registry(largest=1_000)
    with registry.serve() as port, pytest.raises(BentoError, match="returned 413.*Raise the upload limit"):
        push_to(port, make_image(tmp_path, SIZES), registries, progress)


def test_chunks_are_as_large_as_the_server_asks_for(registries, progress, tmp_path, monkeypatch):
    monkeypatch.setattr(push_module, "_MAX_CHUNKS", {413: 64_000})
    image = make_image(tmp_path, SIZES)
    registry = Registry(largest=300_000, smallest=130_000)
    with registry.serve() as port:
        push_to(port, image, registries, progress)
    assert_stored(registry, image)
    assert sorted(registry.chunks) == [10_000, 60_000, 130_000, 130_000, 130_000]


def test_an_upload_that_the_server_forgot_begins_again(registries, progress, tmp_path):
    image = make_image(tmp_path, SIZES)
    registry = Registry()

    class Forgetful(dict):
        def __contains__(self, key: object) -> bool:
            return False

    registry.uploads = Forgetful()
    with registry.serve() as port, Relay(port, [Cut(UP, 100_000), Cut(UP, 350_000)]) as relay:
        push_to(relay.port, image, registries, progress)
    assert_stored(registry, image)


def test_all_uploads_are_canceled_after_an_error(registries, progress, tmp_path):
    image = make_image(tmp_path, [60_000, 60_001, 60_002])
    wrong, *others = (blob.digest for blob in image.blobs())  # all, because the answer to a new upload might get lost
    all_started = threading.Barrier(1 + len(others), timeout=600)

    class Slow(NamedTuple):
        digest: str

        def pieces(self, start: int, end: int):
            yield b"x"
            all_started.wait()
            if self.digest == wrong:
                raise BentoError("wrong")
            pause(20)

    sources = {digest: Slow(digest) for digest in (wrong, *others)}
    registry = Registry()
    with registry.serve() as port, pytest.raises(BentoError, match="^wrong$"):
        push_to(port, replace(image, sources=image.sources | sources), registries, progress)
    assert next(registry.names) == 4
    assert registry.uploads == {}


def interrupted_push(registry, port: int, image, directory, progress, sent: int) -> str:
    """Push an image, and press Ctrl-C when the registry has `sent` bytes of the largest blob, and the other blobs.

    Returns the message.
    """
    largest = max(image.blobs(), key=lambda blob: blob.size).digest
    original = image.sources[largest]

    class Interrupted(NamedTuple):
        digest: str

        def pieces(self, start: int, end: int):
            yield from original.pieces(start, sent)
            others = {blob.digest for blob in image.blobs()} - {largest}
            while [*map(len, list(registry.uploads.values()))] != [sent] or registry.blobs.keys() != others:
                pause(0.01)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            pause(20)

    changed = replace(image, sources=image.sources | {largest: Interrupted(largest)})
    with (
        Registries(sleep=lambda _: None, interrupted=InterruptedUploads(directory.parent)) as registries,
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        push_to(port, changed, registries, progress)
    return str(caught.value)


def test_the_push_after_an_interruption_sends_the_rest(progress, tmp_path):
    image = make_image(tmp_path, [400_000, 900])
    registry, uploads = Registry(), tmp_path / "cache/uploads"
    with registry.serve() as port:
        message = interrupted_push(registry, port, image, uploads, progress, 300_000)
        assert message == "interrupted. The registry keeps 292.97 KiB, and the next push sends the rest."
        [kept] = uploads.iterdir()
        assert (kept.stat().st_mode & 0o777, uploads.stat().st_mode & 0o777) == (0o600, 0o700)
        with Registries(interrupted=InterruptedUploads(uploads.parent)) as registries:
            push_to(port, image, registries, progress)
    assert_stored(registry, image)
    assert registry.received == sum(blob.size for blob in image.blobs())
    assert list(uploads.iterdir()) == []


def test_an_interruption_names_a_registry_that_keeps_nothing(progress, tmp_path):
    class Forgetful(dict):
        def __contains__(self, key: object) -> bool:
            return False

    image = make_image(tmp_path, [400_000, 900])
    registry, uploads = Registry(), tmp_path / "uploads"
    registry.uploads = Forgetful()
    with registry.serve() as port:
        message = interrupted_push(registry, port, image, uploads, progress, 300_000)
    assert message.startswith("interrupted. The registry keeps no unfinished files.")
    assert not uploads.exists()


@pytest.mark.parametrize(
    "record", [None, "", "[]", '{"url": 1}', '{"url": "file:///etc/passwd", "smallest_chunk": 0}', "\0"]
)
def test_an_upload_that_is_discarded_or_has_an_invalid_record_begins_again(progress, tmp_path, record):
    image = make_image(tmp_path, [400_000, 900])
    registry, uploads = Registry(), tmp_path / "uploads"
    with registry.serve() as port:
        interrupted_push(registry, port, image, uploads, progress, 300_000)
        if record is None:
            registry.uploads.clear()
        else:
            [kept] = uploads.iterdir()
            kept.write_text(record)
        with Registries(interrupted=InterruptedUploads(uploads.parent)) as registries:
            push_to(port, image, registries, progress)
    assert_stored(registry, image)
