"""Machines share what one of them has built, over a real cache server, and recover from one that fails them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from cache_server import CacheServer
from monorepo import BENTOS
from monorepo import WORKSPACE as MONOREPO
from reproducibility import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench import Checkout, Result, Spawn, Workbench

WORKSPACES: dict[str, Sequence[str]] = {".": ("//examples/...",), MONOREPO: BENTOS}
BENTO = "//examples/iris:iris_bento"
ARCHIVE = "bazel-bin/examples/iris/iris_bento.bento"
PARTS = [
    f"bazel-bin/examples/iris/{name}.part" for name in ("iris_bento.metadata", "iris_bento.sources", "iris_clf.model")
]
SOURCE = "examples/iris/service.py"
OTHER_USER = 4242
HIT = "remote cache hit"
SMALL = 200_000  # bytes


def two_machines_share_a_cache(bench: Workbench) -> str:
    """What the first uploads, the second takes: every action of ours, and no more bytes than it asks for."""
    first = bench.checkout("first")
    second = bench.checkout("second/place", surroundings=replace(ELSEWHERE, user=OTHER_USER))
    with CacheServer(bench.folder / "cache") as cache:
        hits = [the_second_runs_nothing(first, second, cache, workspace) for workspace in WORKSPACES]
        received = sum(downloads(cache).values())
        assert received < SMALL, f"{received} bytes were downloaded, though outputs are to stay in the cache"
        archive = only_what_is_asked_for_is_fetched(first, second, cache)
        recovers_from_a_wrong_content(first, second, cache)
        recovers_from_lost_contents(second, cache)
    return (
        f"{sum(hits)} actions, all hits; {received} bytes downloaded for them, {archive} for the archive; "
        f"wrong and lost contents are made again"
    )


def the_second_runs_nothing(first: Checkout, second: Checkout, cache: CacheServer, workspace: str) -> int:
    """The same actions with the same outputs, each found in the cache. Returns how many."""
    targets = WORKSPACES[workspace]
    built = ours(first.build(*targets, cache.option, workspace=workspace))
    assert {spawn.runner for spawn in built.values()} == {"linux-sandbox"}, Counter(s.runner for s in built.values())
    cache.transfers()
    options = (cache.option, "--remote_download_minimal")
    found = ours(second.build(*targets, *options, workspace=workspace))
    missed = sorted(key for key, spawn in found.items() if spawn.runner != HIT)
    assert not missed, f"not found in the cache: {missed}"
    assert found.keys() == built.keys(), sorted(found.keys() ^ built.keys())
    differing = [key for key, spawn in built.items() if spawn.outputs != found[key].outputs]
    assert not differing, f"outputs that differ: {differing}"
    return len(found)


def only_what_is_asked_for_is_fetched(first: Checkout, second: Checkout, cache: CacheServer) -> int:
    """With `toplevel`, the archive, and not what it is made of. Returns its bytes."""
    cache.transfers()
    second.build(BENTO, cache.option, "--remote_download_toplevel")
    fetched = downloads(cache)
    assert second.digest(ARCHIVE) == first.digest(ARCHIVE)
    parts = [part for part in PARTS if first.digest(part) in fetched]
    assert not parts, f"fetched without need: {parts}"
    return fetched[first.digest(ARCHIVE)]


def recovers_from_a_wrong_content(first: Checkout, second: Checkout, cache: CacheServer) -> None:
    """Bytes that are not what their name says are refused; the action runs here."""
    digest = first.digest(ARCHIVE)
    right = cache.content(digest).read_bytes()
    cache.content(digest).write_bytes(bytes(len(right)))
    second.bazel("clean").succeeded()
    built = second.build(BENTO, cache.option)
    assert {spawn.mnemonic for spawn in built.spawns if spawn.runner != HIT} == {"BentoArchive"}, built.told()
    assert second.digest(ARCHIVE) == digest
    assert cache.content(digest).read_bytes() == right, "the cache keeps the wrong bytes"


def recovers_from_lost_contents(second: Checkout, cache: CacheServer) -> None:
    """Between two builds the cache forgets what the first left there: what is needed is made again."""
    options = (BENTO, cache.option, "--remote_download_minimal", "--experimental_remote_cache_eviction_retries=5")
    second.bazel("clean").succeeded()
    second.build(*options)
    cache.evict_contents()
    second.write(SOURCE, second.read(SOURCE) + "\n# One more line.\n")
    built = second.build(*options)
    assert "BentoModel" in built.ran, f"nothing was lost\n{built.told()}"


def downloads(cache: CacheServer) -> dict[str, int]:
    """The contents that were fetched since the last time, and their bytes."""
    return {
        transfer.digest: transfer.sent
        for transfer in cache.transfers()
        if (transfer.method, transfer.kind) == ("GET", "cas")
    }


def ours(result: Result) -> dict[tuple[str, ...], Spawn]:
    """The actions of ours, by what they are and write."""
    return {
        (spawn.mnemonic, spawn.target, *sorted(spawn.outputs)): spawn
        for spawn in result.spawns
        if spawn.mnemonic.startswith("Bento")
    }
