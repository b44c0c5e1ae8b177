"""Runs actions on remote machines without Python or a shell: declared inputs are sufficient, and few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execution_server import ExecutionServer
from registry_server import RegistryServer
from remote_cache import (
    ASSEMBLE,
    EXAMPLES,
    FROM_CACHE,
    GZIP_IMAGE,
    HIT,
    LAYOUT,
    PUSH,
    PUSHED_GZIP_IMAGE,
    built_layers,
    ours,
    recipes,
)

if TYPE_CHECKING:
    from workbench import Checkout, Spawn, Workbench

INTERPRETER = 'bento_tools_dev.python(debian_lock = "//debian:python.lock.json")'
OTHER_INTERPRETER = 'bento_tools_dev.python(debian_lock = "//tests/registry:debian.lock.json")'
REFUSED = (
    "the lock contains no python3 for linux_amd64. Add the package to the packages of the bento_debs target, and "
    "update the lock"
)
# genrules require bash, and aren't actions of these rules.
STRATEGIES = ("--spawn_strategy=remote", "--strategy=Genrule=linux-sandbox")
# The sandbox of these workers doesn't allow namespaces.
UNPROTECTED = "--@rules_bento//rules:allow_unprotected_import"
REMOTE = (*STRATEGIES, UNPROTECTED)
FILES = "--@rules_bento//rules:wheel_layers=files"
UNISOLATED = "this system can't isolate the import of the service ("
# The number of inputs of each action of the example's Bento, and the number of files of the helper and its packages,
# without the interpreter.
INPUTS = {"BentoArchive": (5, 3), "BentoModel": (2, 7), "BentoPackage": (11, 10)}
# One target of each test rule, because all targets of a rule run the same program.
IMPORTING = "//tests/service:computed_bento"
TESTS = ("//debian:python_test", "//examples/iris:iris_test", "//tools/locks:tools_test")
HELPER = "/toolchains/helper.zip"
HELPER_PACKAGES = "/toolchains/helper_packages/"
INTERPRETER_FILES = 41
INTERPRETER_BYTES = 32_000_000


def actions_run_on_minimal_workers(bench: Workbench) -> str:
    """Run on workers without a shell or Python. Compare with the bytes of local execution, and count the inputs."""
    checkout = bench.here
    lock_without_interpreter_is_rejected(checkout)
    checkout.edit("MODULE.bazel", OTHER_INTERPRETER, INTERPRETER)
    checkout.bazel("clean").succeeded()
    with ExecutionServer(bench.directory / "executor") as server:
        remote = ours(checkout.build(*EXAMPLES, server.option, *REMOTE))
        layers_are_streamed_from_the_cache(checkout, server, bench)
        layers_are_assembled_on_workers(checkout, server, bench)
    elsewhere = {spawn.mnemonic for spawn in remote if spawn.runner != "remote"}
    assert not elsewhere, f"did not run on a worker: {sorted(elsewhere)}"
    inputs_are_few(remote)
    local = contents(bench.examples_here or locally_built(checkout))
    assert contents(remote) == local, f"outputs that differ from those of local execution: {contents(remote) ^ local}"
    tests_run_on_workers_with_bash(checkout, server, bench)
    mnemonics = {spawn.mnemonic for spawn in remote}
    return (
        f"{len(remote)} actions of {len(mnemonics)} kinds, and {len(TESTS)} tests; "
        f"{len(local)} compared with local ones, the same bytes"
    )


def locally_built(checkout: Checkout) -> list[Spawn]:
    checkout.bazel("clean").succeeded()
    return ours(checkout.build(*EXAMPLES))


def contents(spawns: list[Spawn]) -> set[tuple[str, ...]]:
    """Return the outputs of actions without paths, which one of the builds maps."""
    return {(spawn.mnemonic, spawn.target, *sorted(spawn.outputs.values())) for spawn in spawns if spawn.outputs}


def tests_run_on_workers_with_bash(checkout: Checkout, before: ExecutionServer, bench: Workbench) -> None:
    """Run tests on workers with bash and the programs of Bazel's test-setup.sh, without Python or a network."""
    checkout.train()  # for iris_test
    with ExecutionServer(bench.directory / "test-executor", kept=before.kept, tests=True) as server:
        tested = checkout.bazel("test", *TESTS, server.option, *REMOTE).succeeded()
        # Last, because Bazel analyzes all targets again without the flag.
        checkout.bazel("build", IMPORTING, server.option, *STRATEGIES).failed(
            UNISOLATED, f"If you trust this code, build with {UNPROTECTED}"
        )
    ran = {spawn.target: spawn.runner for spawn in tested.spawns if spawn.mnemonic == "TestRunner"}
    assert ran == dict.fromkeys(TESTS, "remote"), f"did not run on a worker: {ran}"


def layers_are_streamed_from_the_cache(checkout: Checkout, server: ExecutionServer, bench: Workbench) -> None:
    """Push layers with ByteStream, from the server to which the workers uploaded them."""
    checkout.write("tests/pushed/BUILD.bazel", PUSH)
    checkout.forget()
    with RegistryServer(bench.directory / "execution-registry") as registry:
        host = f"127.0.0.1:{registry.port}"
        behind = ("--insecure", host, "--repository", f"{host}/iris", f"--remote_cache={server.address}")
        options = (server.option, *REMOTE, "--remote_download_minimal", FROM_CACHE)
        checkout.bazel("run", "//tests/pushed:pushed_image", *options, "--", *behind).succeeded()
        stored = registry.blobs()
    layers = built_layers(checkout)
    assert layers <= set(stored), f"the registry lacks {layers - set(stored)}"


def layers_are_assembled_on_workers(checkout: Checkout, server: ExecutionServer, bench: Workbench) -> None:
    """Write recipes on workers, push the image, and assemble its layers on workers. Compare with layers as files."""
    options = (server.option, *REMOTE)
    digest = checkout.root / "bazel-bin/tests/pushed/gzip_image.digest"
    checkout.build(GZIP_IMAGE, FILES, *options)
    expected = digest.read_text().strip()
    digest.unlink()
    written = {(spawn.mnemonic, spawn.runner) for spawn in ours(checkout.build(PUSHED_GZIP_IMAGE, *options))}
    # Earlier builds wrote the recipes of shared packages.
    assert {("BentoLayer", "remote"), ("BentoLayer", HIT)} & written, f"workers wrote no recipes, but {written}"
    sizes = recipes(checkout)
    with RegistryServer(bench.directory / "recipe-execution-registry") as registry:
        host = f"127.0.0.1:{registry.port}"
        behind = ("--", "--insecure", host, "--repository", f"{host}/iris")
        pushed = checkout.bazel("run", PUSHED_GZIP_IMAGE, *options, *behind).succeeded()
        stored = registry.blobs().keys()
    assert pushed.output.split() == [f"{host}/iris@{expected}"], pushed.told()
    assert sizes.keys() | {expected.removeprefix("sha256:")} <= stored, f"the registry has only {stored}"
    spawns = ours(checkout.build(GZIP_IMAGE, LAYOUT, *options))
    assembled = [spawn for spawn in spawns if spawn.mnemonic == ASSEMBLE and spawn.runner == "remote"]
    assert len(assembled) == len(sizes) > 0, f"workers assembled {len(assembled)} of {len(sizes)} layers"
    layout = {path.name for path in (checkout.root / "bazel-bin/tests/pushed/gzip_image.oci").glob("blobs/sha256/*")}
    assert sizes.keys() | {expected.removeprefix("sha256:")} <= layout, f"the layout has only {layout}"


def lock_without_interpreter_is_rejected(checkout: Checkout) -> None:
    """Check that the error contains a remedy."""
    checkout.edit("MODULE.bazel", INTERPRETER, OTHER_INTERPRETER)
    checkout.bazel("build", "--nobuild", "//toolchains:helper").failed(REFUSED)


def inputs_are_few(spawns: list[Spawn]) -> None:
    """Check the number of inputs, so that no tree of files becomes an input unintentionally."""
    for spawn in spawns:
        interpreter = [path for path in spawn.inputs if "bento_python" in path]
        assert len(interpreter) == INTERPRETER_FILES, f"{spawn.mnemonic}: the interpreter has {len(interpreter)} files"
        size = sum(spawn.inputs[path] for path in interpreter)
        assert size < INTERPRETER_BYTES, f"{spawn.mnemonic}: the interpreter has {size} bytes"
        if spawn.target != "//examples/iris:iris_bento" and spawn.mnemonic != "BentoModel":
            continue
        packages = [path for path in spawn.inputs if HELPER_PACKAGES in path or path.endswith(HELPER)]
        fields = [path for path in spawn.inputs if path.endswith("model_fields.json")]
        others = spawn.inputs.keys() - set(interpreter) - set(packages) - set(fields)
        found = (len(others), len(packages))
        assert found == INPUTS[spawn.mnemonic], f"{spawn.mnemonic} has {found} inputs, not {INPUTS[spawn.mnemonic]}"
