"""Checks that builds of images that would fail in production fail with the package and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Workbench

BUILD = """\
load("//rules:defs.bzl", "bento_base", "bento_image", "bento_package")

bento_base(
    name = "bare",
    packages = [
        "@debian//base-files",
        "@debian//libc-bin",
        "@debian//python3-minimal",
    ],
    python = "/usr/bin/python3",
    python_version = "3.13",
)

bento_image(name = "large", base = "//examples/base:python", bento = "//examples/iris:iris_bento", size_limit = 50)

# Their names are all that the check knows of libraries.
[
    genrule(
        name = name,
        srcs = [file],
        outs = [name + ".tar"],
        cmd = "mkdir -p root/%s && cp $< root/%s && tar -cf $@ -C root %s" % (path.rpartition("/")[0], path, path),
    )
    for name, file, path in [
        ("notes", "service.py", "opt/notes"),
        ("libstdcxx", "service.py", "usr/lib/libstdc++.so.6"),
    ]
]

[
    bento_image(
        name = name,
        base = ":bare",
        bento = "//examples/iris:iris_bento",
        layers = layers,
        ignore_libraries = unchecked,
    )
    for name, layers, unchecked in [
        ("lacking", [":notes"], []),
        ("minded", [":libstdcxx"], ["libz.so.1", "libgcc_s.so.1"]),
    ]
]

bento_package(name = "asking", python_version = "3.13", srcs = ["service.py"], service = "service:Asking")

[
    bento_image(
        name = name,
        base = base,
        bento = ":asking",
        # Of itself it serves nothing, and has no packages.
        entrypoint = ["/usr/bin/python3"],
        ignore_system_requirements = ignored,
    )
    for name, base, ignored in [
        ("wanting", "//tests/unfit:small", ["ffmpeg"]),
        ("given", ":wanting_base", ["ffmpeg"]),
    ]
]

bento_base(
    name = "small",
    packages = [
        "@debian//base-files",
        "@debian//python3-minimal",
    ],
    python = "/usr/bin/python3",
    python_version = "3.13",
)

# PASTE HERE
"""
SERVICE = """\
import bentoml


@bentoml.service(image=bentoml.images.Image(distro="debian").system_packages("ca-certificates", "ffmpeg", "libc6"))
class Asking:
    pass
"""
PASTED = 'bento_base(\n    name = "wanting_base"'
ASKED = "the Bento requires the system package ca-certificates, but //tests/unfit:small and the layers lack the package"
TOO_LARGE = "//tests/unfit:large: size_limit: the image has "
LACKING = "needs libstdc++.so.6, which neither //tests/unfit:bare nor another package provides."


def invalid_images_fail_the_build(bench: Workbench) -> str:
    """Build images that are too large, lack the C++ library in the base, or lack a required package.

    All images build without validations. The last image also builds with the lines in the message.
    """
    checkout = bench.plain
    checkout.write("tests/unfit/service.py", SERVICE)
    checkout.write("tests/unfit/BUILD.bazel", BUILD.replace(":wanting_base", "//tests/unfit:small"))
    built = checkout.bazel("build", "--keep_going", "//tests/unfit:all")
    assert built.code == 1, built.told()
    assert TOO_LARGE in built.errors, built.told()
    assert "the limit is 50.0 MB. The largest layers are scipy " in built.errors, built.told()
    wheels = [line for line in built.errors.splitlines() if LACKING in line]
    assert any(line.startswith(("//tests/unfit:lacking: ", "scipy-", "numpy-")) for line in wheels), built.told()
    assert "Traceback" not in built.errors, built.told()
    checkout.build("//tests/unfit:minded")
    checkout.build("--norun_validations", "//tests/unfit:all")
    assert ASKED in built.errors, built.told()
    pasted = built.errors[built.errors.index(PASTED) :].partition("\n)\n")[0] + "\n)\n"
    checkout.write("tests/unfit/BUILD.bazel", BUILD.replace("# PASTE HERE", pasted))
    checkout.build("//tests/unfit:given")
    return f"{len(wheels)} wheels miss a library that the base lacks; an image of more than 50 MB is refused"
