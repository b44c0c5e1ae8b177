"""Images that would fail only in production fail the build, with package and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Workbench

BUILD = """\
load("//rules:defs.bzl", "bento_base", "bento_deb_layer", "bento_image")

bento_deb_layer(
    name = "debs",
    packages = [
        "@debian//base-files",
        "@debian//libc-bin",
        "@debian//python3-minimal",
    ],
)

bento_base(
    name = "bare",
    debs = ":debs",
    python_version = "3.13",
)

bento_image(
    name = "large",
    base = "//examples/base:python",
    bento = "//examples/iris:iris_bento",
    size_limit = 50,
)

[
    bento_image(
        name = name,
        base = ":bare",
        bento = "//examples/iris:iris_bento",
        unchecked_libraries = unchecked,
    )
    for name, unchecked in {
        "lacking": [],
        "minded": ["libstdc++.so.6", "libz.so.1", "libgcc_s.so.1"],
    }.items()
]
"""
TOO_LARGE = "//tests/unfit:large: size_limit: the image has "
LACKING = "needs libstdc++.so.6, which neither //tests/unfit:bare nor another package has. Add the system package"


def images_that_cannot_run_fail_the_build(bench: Workbench) -> str:
    """One beyond its limit, one on a base without a library of C++; both build without validations."""
    checkout = bench.plain
    checkout.write("tests/unfit/BUILD.bazel", BUILD)
    built = checkout.bazel("build", "--keep_going", "//tests/unfit:all")
    assert built.code == 1, built.told()
    assert TOO_LARGE in built.errors, built.told()
    assert "more than 50.0 MB. The largest layers are scipy " in built.errors, built.told()
    wheels = [line for line in built.errors.splitlines() if LACKING in line]
    assert any(line.startswith(("//tests/unfit:lacking: ", "scipy-", "numpy-")) for line in wheels), built.told()
    assert "Traceback" not in built.errors, built.told()
    checkout.build("//tests/unfit:minded")
    checkout.build("--norun_validations", "//tests/unfit:all")
    return f"{len(wheels)} wheels miss a library that the base lacks; an image of more than 50 MB is refused"
