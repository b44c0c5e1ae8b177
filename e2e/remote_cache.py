"""Shares builds of several machines through a real cache server, and recovers from lost cache contents."""

from __future__ import annotations

import json
import tarfile
from hashlib import sha256
from typing import TYPE_CHECKING

from cache_server import CacheServer
from monorepo import BENTOS
from monorepo import WORKSPACE as MONOREPO
from registry_server import RegistryServer
from workbench import REPOSITORY, remove

from tests.helpers.documents import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from workbench import Checkout, Result, Spawn, Workbench

# All examples except the image for another architecture, with the same actions, and the model of 2 GB.
EXAMPLES = (
    "//examples/base/...",
    "//examples/iris:iris_bento",
    "//examples/iris:iris_image",
    "//examples/studio:studio_bento",
)
BENTO = "//examples/iris:iris_bento"
ARCHIVE = "bazel-bin/examples/iris/iris_bento.bento"
PARTS = [
    f"bazel-bin/examples/iris/{name}.part" for name in ("iris_bento.metadata", "iris_bento.sources", "iris_clf.model")
]
SOURCE = "examples/iris/service.py"
PUSH = """\
load("//rules:defs.bzl", "bento_image", "bento_load", "bento_push")

bento_image(
    name = "gzip_image",
    base = "//tests/images:gzip_base",
    bento = "//examples/iris:iris_bento",
    compression = "gzip",
)

bento_load(name = "loaded", src = "//examples/iris:iris_image")

bento_push(name = "pushed", src = "//examples/iris:iris_bento", remote_tags = ["latest"])

bento_push(name = "pushed_gzip_image", src = ":gzip_image", remote_tags = ["latest"])

bento_push(name = "pushed_image", src = "//examples/iris:iris_image", remote_tags = ["latest"])
"""
UNCACHED = "BentoToolModules"  # unpacks wheels for tools
FROM_CACHE = "--@rules_bento//rules:push_from=cache"
GZIP_IMAGE, PUSHED_GZIP_IMAGE = "//tests/pushed:gzip_image", "//tests/pushed:pushed_gzip_image"
ASSEMBLE = "BentoLayerAssemble"
LAYOUT = "--output_groups=oci_layout"
WHEEL = "bazel-rules_bento/external/*__scipy__*__linux_amd64/*.whl"
# Runs the command in the other arguments while the wheel has other bytes.
WITH_A_WRONG_WHEEL = """\
#!/bin/sh
wheel=$1
shift
mv "$wheel" "$wheel.kept"
tr a b < "$wheel.kept" > "$wheel"
"$@"
code=$?
mv "$wheel.kept" "$wheel"
exit $code
"""
CI = "--config=ci"
ADDRESS = "grpcs://cache.example.com"
OTHERWISE = (CI, "--compilation_mode=opt", "--host_compilation_mode=fastbuild")
HIT = "remote cache hit"
# Tests that unpack wheels or start servers.
TESTS = ("//tests/serving:named_files_test", "//tests/wheels:library_test", "//tests/wheels:serve_test")
SMALL = 200_000  # bytes


def two_machines_share_a_cache(bench: Workbench) -> str:
    """Build on two machines: the second runs no action of the rules, and downloads only the requested outputs."""
    first, second = bench.here, bench.there
    with CacheServer(bench.directory / "cache") as cache:
        for checkout in (first, second):
            checkout.write("user.bazelrc", preset(cache))
        first.write(f"{MONOREPO}/.bazelrc", preset(cache))
        shared = second_build_runs_nothing(first, second, cache, ".", EXAMPLES)
        # A workspace of a user, with the other output directory instead of another checkout, which needs two servers.
        others = second_build_runs_nothing(first, first, cache, MONOREPO, BENTOS)
        archive = only_requested_outputs_are_downloaded(first, second, cache)
        # With the mapped paths of the preset.
        first.bazel("test", *TESTS, CI).succeeded()
        pushes_cached_layers(first, second, cache, bench)
        loads_cached_layers(second, bench)
        recovers_from_a_wrong_content(first, second, cache)
        share = recipes_replace_layers(first, second, cache, bench)
        recovers_from_lost_contents(second, cache)
    layers_are_assembled_without_a_network(first)
    for checkout in (first, second):
        checkout.write("user.bazelrc", "")
    bench.examples_here = shared
    return (
        f"{len(shared + others)} actions, all hits; {archive} bytes downloaded for the archive, next to none for the "
        f"others; wrong and lost contents are made again; recipes have {share:.2%} of the bytes of layers"
    )


def second_build_runs_nothing(
    first: Checkout, second: Checkout, cache: CacheServer, workspace: str, targets: Sequence[str]
) -> list[Spawn]:
    """Check that the second build finds all actions in the cache, with the same outputs.

    Returns the actions as they ran in the first build.
    """
    built = ours(first.build(*targets, CI, workspace=workspace))
    # With path mapping, actions of an image for its own Python match the Bento's equal actions in the cache.
    assert "linux-sandbox" in {spawn.runner for spawn in built}, "the cache already contained results"
    cache.transfers()
    found = ours(second.build(*targets, *OTHERWISE, "--remote_download_minimal", workspace=workspace))
    received = sum(downloads(cache).values())
    assert received < SMALL, f"{received} bytes were downloaded, but outputs must stay in the cache"
    missed = sorted({f"{spawn.mnemonic} of {spawn.target}" for spawn in run_here(found)})
    assert not missed, f"not found in the cache: {missed}"
    kinds = [{spawn.mnemonic for spawn in spawns} for spawns in (built, found)]
    assert kinds[0] == kinds[1], f"only one has {kinds[0] ^ kinds[1]}"
    outputs = {spawn.action: sorted(spawn.outputs.values()) for spawn in built}
    differing = [
        f"{spawn.mnemonic} of {spawn.target}"
        for spawn in found
        if spawn.mnemonic != UNCACHED and outputs.get(spawn.action) != sorted(spawn.outputs.values())
    ]
    assert not differing, f"actions or outputs that differ: {differing}"
    return built


def only_requested_outputs_are_downloaded(first: Checkout, second: Checkout, cache: CacheServer) -> int:
    """Build with the preset, which downloads the archive but not its parts. Returns the bytes of the archive."""
    cache.transfers()
    second.build(BENTO, *OTHERWISE)
    fetched = downloads(cache)
    assert second.digest(ARCHIVE) == first.digest(ARCHIVE)
    parts = [part for part in PARTS if first.digest(part) in fetched]
    assert not parts, f"downloaded, but not required: {parts}"
    return fetched[first.digest(ARCHIVE)]


def pushes_cached_layers(first: Checkout, second: Checkout, cache: CacheServer, bench: Workbench) -> None:
    """Push contents that are only in the cache. No action runs."""
    second.write("tests/pushed/BUILD.bazel", PUSH)
    with RegistryServer(bench.directory / "remote-registry") as registry:
        host = f"127.0.0.1:{registry.port}"
        behind = ("--", "--insecure", host, "--repository", f"{host}/iris")
        pushed = second.bazel("run", "//tests/pushed", *OTHERWISE, "--remote_download_minimal", *behind).succeeded()
        stored = registry.blobs()
        layers_go_from_cache_to_registry(second, cache, behind)
    built = [spawn.mnemonic for spawn in run_here(pushed.spawns)]
    assert not built, f"the push ran actions: {built}"
    missing = [part for part in PARTS[:2] if first.digest(part) not in stored]
    assert not missing, f"the registry lacks {missing}; it has {stored}"


def loads_cached_layers(checkout: Checkout, bench: Workbench) -> None:
    """Load layers that are only in the cache. No action runs. The input of docker is saved and verified."""
    program, given = bench.directory / "docker-bin/docker", bench.directory / "given.tar"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncat > "{given}"\n')
    program.chmod(0o755)
    path = f"--run_under=env PATH={program.parent}:/usr/bin:/bin"
    flags = (path, *OTHERWISE, "--remote_download_minimal")
    loaded = checkout.bazel("run", *flags, "//tests/pushed:loaded", "--", "--backend", "docker").succeeded()
    built = [spawn.mnemonic for spawn in run_here(loaded.spawns)]
    assert not built, f"the load ran actions: {built}"
    with tarfile.open(given) as archive:
        files = {member.name.removeprefix("./"): archive.extractfile(member) for member in archive}
        contents = {name: file.read() for name, file in files.items() if file}
    [described] = json.loads(contents["manifest.json"])
    blobs = {name: content for name, content in contents.items() if name.startswith("blobs/sha256/")}
    wrong = [name for name, content in blobs.items() if not name.endswith(sha256(content).hexdigest())]
    missing = {described["Config"], *described["Layers"]} - contents.keys()
    assert described["Layers"], "the image has no layer"
    assert not wrong, f"contents that differ from their digests: {wrong}"
    assert not missing, f"the archive lacks {missing}"


def layers_go_from_cache_to_registry(checkout: Checkout, cache: CacheServer, behind: Sequence[str]) -> None:
    """Push without downloading layers by Bazel: the push fetches each missing layer of the registry once."""
    command = ("run", "//tests/pushed:pushed_image", *OTHERWISE, "--remote_download_minimal", FROM_CACHE, *behind)
    lost = checkout.bazel(*command)
    assert "Pass the build's --remote_cache" in lost.errors, lost.told()
    cache.transfers()
    checkout.bazel(*command, f"--remote_cache={cache.url}").succeeded()
    layers = built_layers(checkout)
    fetched = [transfer.digest for transfer in cache.transfers() if transfer.method == "GET"]
    streamed = [digest for digest in fetched if digest in layers]
    assert streamed, f"no layer of {layers} was fetched, but {fetched}"
    assert len(streamed) == len(set(streamed)), "a layer was fetched twice"
    checkout.bazel(*command, f"--remote_cache={cache.url}").succeeded()
    again = [transfer.digest for transfer in cache.transfers() if transfer.digest in layers]
    assert not again, f"fetched again: {again}"


def built_layers(checkout: Checkout) -> set[str]:
    """Return the digests of layers whose descriptions were downloaded, and check that the layers were not."""
    files = list(checkout.root.glob("bazel-out/*/bin/**/*.layer.*"))
    downloaded = [path for path in files if path.suffix not in (".json", ".recipe")]
    assert not downloaded, f"layers were downloaded: {downloaded}"
    described = [path for path in files if path.suffix == ".json" and not path.name.endswith(".libraries.json")]
    return {json.loads(path.read_text())["digest"].removeprefix("sha256:") for path in described}


def recovers_from_a_wrong_content(first: Checkout, second: Checkout, cache: CacheServer) -> None:
    """Write wrong bytes to the cache: they are rejected, and the action runs locally."""
    digest = first.digest(ARCHIVE)
    right = cache.content(digest).read_bytes()
    cache.content(digest).write_bytes(bytes(len(right)))
    (second.directory / ARCHIVE).unlink()
    built = second.build(BENTO, *OTHERWISE)
    assert {spawn.mnemonic for spawn in run_here(built.spawns)} == {"BentoArchive"}, built.told()
    assert second.digest(ARCHIVE) == digest
    assert cache.content(digest).read_bytes() == right, "the cache still contains the wrong bytes"


def recovers_from_lost_contents(second: Checkout, cache: CacheServer) -> None:
    """Delete the contents of the cache between two builds: the required outputs are built again."""
    options = (BENTO, *OTHERWISE, "--remote_download_minimal")
    second.forget()
    second.build(*options)
    cache.evict_contents()
    source = second.read(SOURCE)
    second.write(SOURCE, source + "\n# One more line.\n")
    built = second.build(*options)
    second.write(SOURCE, source)
    assert "Missing digest" in built.errors, f"the cache lost no contents\n{built.told()}"


def recipes_replace_layers(first: Checkout, second: Checkout, cache: CacheServer, bench: Workbench) -> float:
    """Build with recipes, and push from a second machine. Returns the size of the recipes relative to their layers."""
    first.write("tests/pushed/BUILD.bazel", PUSH)
    built = {spawn.mnemonic for spawn in ours(first.build(PUSHED_GZIP_IMAGE, CI))}
    assert "BentoLayer" in built, f"no layer was built, but {built}"
    assert ASSEMBLE not in built, "a layer was assembled without need"
    sizes = recipes(first)
    stored = [digest for digest in sizes if cache.content(digest).exists()]
    assert not stored, f"the cache stores the layers {stored}"
    layers_are_assembled_for_a_push(second, sizes, bench)
    first.build(GZIP_IMAGE, CI, LAYOUT)
    found = ours(second.build(GZIP_IMAGE, CI, LAYOUT))
    ran = {spawn.mnemonic for spawn in run_here(found)}
    assert ran == {ASSEMBLE}, f"all but assembled layers are to come from the cache, but these ran: {ran}"
    recipes_are_lost(second, cache, recipe_files(first))
    return sum(path.stat().st_size for path in recipe_files(first)) / sum(sizes.values())


def layers_are_assembled_for_a_push(checkout: Checkout, sizes: dict[str, int], bench: Workbench) -> None:
    """Push with recipes that are only in the cache: first with a wrong wheel, and then with the right one."""
    found = ours(checkout.build(GZIP_IMAGE, CI, "--remote_download_minimal"))
    missed = [spawn.mnemonic for spawn in run_here(found)]
    assert not missed, f"not found in the cache: {missed}"
    [wheel] = checkout.root.glob(WHEEL)  # Bazel needs its digest, even if no action runs
    program = bench.directory / "with-a-wrong-wheel"
    program.write_text(WITH_A_WRONG_WHEEL)
    program.chmod(0o755)
    with RegistryServer(bench.directory / "recipe-registry") as registry:
        failed = push_recipes(checkout, registry, f"--run_under={program} {wheel}")
        ran = [spawn.mnemonic for spawn in run_here(failed.spawns)]
        assert not ran, f"to push, these ran: {ran}"
        assert failed.code, "a wrong wheel is pushed"
        assert "the layer assembled from the wheel doesn't match the digest" in failed.errors, failed.told()
        assert not registry.repositories(), "the image is pushed with a wrong wheel"
        push_recipes(checkout, registry).succeeded()
        missing = sizes.keys() - registry.blobs().keys()
    assert not missing, f"the registry lacks {missing}"


def recipes_are_lost(checkout: Checkout, cache: CacheServer, lost: Sequence[Path]) -> None:
    """Delete recipes from the cache after a build that downloaded none: they are written again for a layout."""
    checkout.forget()
    checkout.build(GZIP_IMAGE, CI, "--remote_download_minimal")
    assert not recipe_files(checkout), "recipes were downloaded without need"
    for path in lost:
        cache.content(sha256(path.read_bytes()).hexdigest()).unlink()
    built = checkout.build(GZIP_IMAGE, CI, LAYOUT)
    assert "Missing digest" in built.errors, f"nothing was lost\n{built.told()}"


def push_recipes(checkout: Checkout, registry: RegistryServer, *options: str) -> Result:
    """Push the image with recipes to an empty repository."""
    host = f"127.0.0.1:{registry.port}"
    behind = ("--", "--insecure", host, "--repository", f"{host}/iris")
    return checkout.bazel("run", PUSHED_GZIP_IMAGE, CI, "--remote_download_minimal", *options, *behind)


def layers_are_assembled_without_a_network(checkout: Checkout) -> None:
    """Build the layout of the image from recipes, without a cache or downloads."""
    options = (CI, LAYOUT, "--remote_cache=", "--repository_disable_download")
    for path in recipe_files(checkout):
        path.with_suffix("").unlink()
    remove(checkout.root / "bazel-bin/tests/pushed/gzip_image.oci")
    built = ours(checkout.build(GZIP_IMAGE, *options))
    assembled = [spawn for spawn in built if spawn.mnemonic == ASSEMBLE]
    assert len(assembled) == len(recipes(checkout)) > 0, f"{len(assembled)} layers were assembled"
    layout = {path.name for path in (checkout.root / "bazel-bin/tests/pushed/gzip_image.oci").glob("blobs/sha256/*")}
    assert recipes(checkout).keys() <= layout, f"the layout lacks layers: {layout}"


def recipe_files(checkout: Checkout) -> list[Path]:
    """Return the recipes that were built or downloaded."""
    return list(checkout.root.glob("bazel-out/*/bin/**/*.layer.gzip.recipe"))


def recipes(checkout: Checkout) -> dict[str, int]:
    """Return the sizes of the layers that have recipes, by digest."""
    described = [json.loads(path.with_suffix(".json").read_text()) for path in recipe_files(checkout)]
    return {layer["digest"].removeprefix("sha256:"): layer["size"] for layer in described}


def downloads(cache: CacheServer) -> dict[str, int]:
    """Return the digests and sizes of the blobs that were downloaded since the last call."""
    return {
        transfer.digest: transfer.sent
        for transfer in cache.transfers()
        if (transfer.method, transfer.kind) == ("GET", "cas")
    }


def ours(result: Result) -> list[Spawn]:
    """Return the actions of the rules."""
    return [spawn for spawn in result.spawns if spawn.mnemonic.startswith("Bento")]


def run_here(spawns: Sequence[Spawn]) -> list[Spawn]:
    """Return the actions that weren't in the cache, except for those that no cache has."""
    return [spawn for spawn in spawns if spawn.runner != HIT and spawn.mnemonic != UNCACHED]


def preset(cache: CacheServer) -> str:
    """Return the bazelrc block of docs/ci.md with the address of the server."""
    [lines, *_] = documented_bazelrc()
    assert lines.count(ADDRESS) == 1, lines
    return lines.replace(ADDRESS, cache.url)


def documented_bazelrc() -> list[str]:
    """Return the .bazelrc blocks of docs/ci.md: for caches, workers, and servers of one build."""
    return [block.text for block in blocks(REPOSITORY / "docs/ci.md") if block.language == "bazelrc"]
