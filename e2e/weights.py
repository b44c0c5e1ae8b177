"""Checks that large parts are built again only if they change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

BENTOS = ("apart", "both", "other")
BUILD = """\
load("//rules:defs.bzl", "bento_model", "bento_package")

[
    bento_model(name = name, srcs = glob([name + "/*.bin"]), tag = "weights_" + name)
    for name in ("large", "small")
]

[
    bento_package(
        name = name,
        srcs = ["service.py"],
        bundle_models = name == "both",
        models = [":large", ":small"],
        service = "service:Both",
    )
    for name in ("apart", "both")
]

bento_package(name = "other", srcs = ["other.py"], models = [":small"], service = "other:Other")
"""
SERVICE = """\
import bentoml

@bentoml.service
class {name}:
    small = bentoml.models.BentoModel("weights_small:latest")
"""
LARGE = '    large = bentoml.models.BentoModel("weights_large:latest")\n'


def changed_weights_rerun_only_dependents(bench: Workbench) -> str:
    """Count the processes in the execution log, with their targets."""
    checkout = bench.plain
    checkout.write("heavy/BUILD.bazel", BUILD)
    checkout.write("heavy/service.py", SERVICE.format(name="Both") + LARGE)
    checkout.write("heavy/other.py", SERVICE.format(name="Other"))
    for name in ("large/first", "large/second", "small/only"):
        checkout.write(f"heavy/{name}.bin", f"{name}\n" * 100_000)
    models = [f"BentoModel{what} {model}" for what in ("", "Part") for model in ("large", "small")]
    of_bentos = [f"Bento{verb} {bento}" for verb in ("Archive", "Package") for bento in BENTOS]
    ran = build(checkout)
    assert ran == sorted([*models, *of_bentos]), ran
    a_weight(checkout)
    a_line(checkout)
    the_tree(checkout)
    return "a weight reruns its model and the Bentos that name it, a line no model"


def a_weight(checkout: Checkout) -> None:
    """Change a weight: the Bentos that contain the model get new versions, which are digests of their contents."""
    tags = tags_of(checkout)
    checkout.write("heavy/large/second.bin", "trained once more\n" * 100_000)
    ran = build(checkout)
    of_bentos = [f"Bento{verb} {bento}" for verb in ("Archive", "Package") for bento in ("apart", "both")]
    assert ran == sorted(["BentoModel large", "BentoModelPart large", *of_bentos]), ran
    now = tags_of(checkout)
    assert [bento for bento in BENTOS if now[bento] != tags[bento]] == ["apart", "both"], now


def a_line(checkout: Checkout) -> None:
    """Change a line: the parts of models are unchanged, so they are only joined again."""
    tags = tags_of(checkout)
    checkout.edit("heavy/other.py", "@bentoml", "# A remark.\n@bentoml")
    ran = build(checkout)
    assert ran == ["BentoArchive other", "BentoPackage other"], ran
    assert tags_of(checkout)["other"] != tags["other"]


def the_tree(checkout: Checkout) -> None:
    """Print the contents of a Bento with `bazel run`, and count the models that its archive excludes."""
    for bento in ("apart", "both"):
        shown = checkout.bazel("run", f"//heavy:{bento}", "--", "tree", "-o", "json").succeeded().output
        sizes = {child["name"]: child["size"] for child in json.loads(shown)["children"]}
        assert sizes["src"] > 0, shown
        assert sizes["models"] > 2_000_000, shown


def build(checkout: Checkout) -> list[str]:
    targets = [f"//heavy:{bento}" for bento in BENTOS]
    spawns = checkout.build(*targets, "--output_groups=+tag").spawns
    # The first build compiles the helper.
    own = [spawn for spawn in spawns if "//heavy:" in spawn.target]
    return sorted(f"{spawn.mnemonic} {spawn.target.rpartition(':')[2]}" for spawn in own)


def tags_of(checkout: Checkout) -> dict[str, str]:
    return {bento: checkout.read(f"bazel-bin/heavy/{bento}.tag") for bento in BENTOS}
