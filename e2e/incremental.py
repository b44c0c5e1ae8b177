"""Checks that a change reruns only the actions that depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducibility import TARGET

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

TAG = "bazel-bin/examples/iris/iris_bento.tag"
NOTES = """\
load("//rules:defs.bzl", "bento_package")

bento_package(name = "bento", srcs = glob(["**"]), exclude = ["notes/", "BUILD.bazel"], service = "service:Service")
"""
DATA = """\
load("//rules:defs.bzl", "bento_package")

bento_package(name = "bento", srcs = ["service.py"], data = ["table.csv"], service = "service:Service")
"""
SERVICE = "import bentoml\n\n@bentoml.service\nclass Service:\n    pass\n"


def changes_rerun_only_dependents(bench: Workbench) -> str:
    """Count the processes in the execution log, which omits hits of Bazel's action cache."""
    checkout = bench.plain
    seconds = a_comment_in_the_service(checkout)
    change_the_library(checkout)
    the_source_of_a_model(checkout)
    change_an_excluded_file(checkout)
    change_a_line_next_to_data(checkout)
    return f"a comment in the service takes {seconds:.2f} s"


def build(checkout: Checkout) -> list[str]:
    return checkout.build(TARGET, "--output_groups=+tag").ran


def a_comment_in_the_service(checkout: Checkout) -> float:
    build(checkout)
    assert build(checkout) == [], "an action ran without a change"
    tag = checkout.read(TAG)
    checkout.write("examples/iris/service.py", checkout.read("examples/iris/service.py") + "\n# A remark.\n")
    built = checkout.build(TARGET, "--output_groups=+tag")
    assert built.ran == ["BentoArchive", "BentoPackage"], built.ran
    assert checkout.read(TAG) != tag
    return built.seconds


def change_the_library(checkout: Checkout) -> None:
    """Change the library, which also trains the model."""
    tag = checkout.read(TAG)
    checkout.edit("examples/features/iris.py", "measured", "sizes")
    expected = ["BentoArchive", "BentoPackage", "Genrule"]
    ran = build(checkout)
    assert [mnemonic for mnemonic in ran if mnemonic not in ("BentoModel", "BentoModelPart")] == expected, ran
    assert checkout.read(TAG) != tag
    checkout.edit("examples/features/iris.py", "sizes", "measured")
    build(checkout)
    assert checkout.read(TAG) == tag, "what was there before has its version again"


def the_source_of_a_model(checkout: Checkout) -> None:
    tag = checkout.read(TAG)
    checkout.edit("examples/iris/train.py", "max_depth=4", "max_depth=2")
    ran = build(checkout)
    expected = ["BentoArchive", "BentoModel", "BentoModelPart", "BentoPackage", "Genrule"]
    assert ran == expected, ran
    assert checkout.read(TAG) != tag


def change_an_excluded_file(checkout: Checkout) -> None:
    checkout.write("kept/BUILD.bazel", NOTES)
    checkout.write("kept/service.py", SERVICE)
    checkout.write("kept/notes/today.md", "nothing\n")
    first = checkout.build("//kept:bento").ran
    assert first == ["BentoPackage"], first
    checkout.write("kept/notes/today.md", "something\n")
    assert checkout.build("//kept:bento").ran == []
    checkout.write("kept/notes/tomorrow.md", "a new file\n")
    digest = checkout.read("bazel-bin/kept/bento.digest")
    assert checkout.build("//kept:bento").ran == first
    assert checkout.read("bazel-bin/kept/bento.digest") == digest, "what it writes has not changed"


def change_a_line_next_to_data(checkout: Checkout) -> None:
    """Change a source next to data, which might be large. The data is packed again only if it changes."""
    checkout.write("beside/BUILD.bazel", DATA)
    checkout.write("beside/service.py", SERVICE)
    checkout.write("beside/table.csv", "1,2\n")
    first = checkout.build("//beside:bento").ran
    assert first == ["BentoArchive", "BentoData", "BentoPackage"], first
    checkout.write("beside/service.py", SERVICE + "# A remark.\n")
    assert checkout.build("//beside:bento").ran == ["BentoArchive", "BentoPackage"]
    checkout.write("beside/table.csv", "3,4\n")
    assert checkout.build("//beside:bento").ran == first
