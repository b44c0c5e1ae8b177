"""What was built for one compilation mode serves all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remote_cache import ours

if TYPE_CHECKING:
    from workbench import Workbench

TARGETS = ("//examples/iris:iris_api", "//examples/iris:iris_image", "//tests/images:gzip_image")
STRIP = "--experimental_output_paths=strip"
HIT = "disk cache hit"


def compilation_modes_share_outputs(bench: Workbench) -> str:
    """With path mapping, no action knows the folder of its configuration; without, all do."""
    checkout = bench.plain
    cache = f"--disk_cache={bench.folder}/mapped"
    first = ours(checkout.build(*TARGETS, STRIP, cache))
    mapped = ours(checkout.build(*TARGETS, STRIP, cache, "--compilation_mode=opt"))
    again = sorted({spawn.mnemonic for spawn in mapped.values() if spawn.runner != HIT})
    assert not again, f"ran again for another compilation mode: {again}"
    kinds = {spawn.mnemonic for spawn in mapped.values()}
    assert kinds == {spawn.mnemonic for spawn in first.values()}, f"only {sorted(kinds)} were asked for"
    plain = ours(checkout.build("//examples/iris:iris_bento", cache, "--compilation_mode=dbg"))
    assert HIT not in {spawn.runner for spawn in plain.values()}, "paths are the same without mapping"
    return f"{len(mapped)} actions of {len(kinds)} kinds, all shared"
