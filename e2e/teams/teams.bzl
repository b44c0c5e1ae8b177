"""Declares the targets of a team."""

load("@bazel_skylib//rules:copy_file.bzl", "copy_file")
load("@rules_bento//rules:defs.bzl", "bento_service", "python_image")
load("@rules_python//python:py_binary.bzl", "py_binary")
load("@rules_python//python:py_test.bzl", "py_test")

# The base has no libraries.
_IGNORED = ["ld-linux-x86-64.so.2"] + ["lib{}".format(name) for name in [
    "c.so.6",
    "dl.so.2",
    "gcc_s.so.1",
    "m.so.6",
    "pthread.so.0",
    "rt.so.1",
    "stdc++.so.6",
    "z.so.1",
]]

def team(name, *, base, hub, layouts = [], lock = [], python_version = None, **kwargs):
    """Declares a Bento with its test, program, and images.

    Args:
      name: name of the targets.
      base: base of the images.
      hub: prefix of the labels of packages.
      layouts: more libraries.
      lock: the lock of packages of `pip.parse`.
      python_version: version of all targets; None for the default.
      **kwargs: attributes of the Bento.
    """
    of_python = {"python_version": python_version} if python_version else {}
    copy_file(name = "service_source", src = "//probe:service.py", out = "service.py")
    bento_service(
        name = name,
        srcs = ["service.py"],
        requirements = [hub + package for package in ("bentoml", "numpy")] + lock,
        service = "service:Probe",
        # Static analysis doesn't support rules_python's library for runfiles, which the libraries include.
        service_metadata = "import",
        test_requirements = [hub + "pytest"],
        test_srcs = ["//probe:api_test.py"],
        deps = ["//probe"] + layouts,
        **(of_python | kwargs)
    )
    native.filegroup(name = "archive", srcs = [name], output_group = "archive")
    for kind, rule in {"main": py_binary, "modules_test": py_test}.items():
        rule(
            name = kind,
            srcs = ["//probe:main.py", "service.py"],
            main = "//probe:main.py",
            args = ["--team", name],
            env = {"PROBED": "$(rootpath //probe:main.py)"},
            imports = ["."],
            data = ["//probe:main.py"],
            deps = [
                "//probe",
                hub + "numpy",
            ] + layouts,
            **of_python
        )
    py_test(
        name = "stock_test",
        srcs = ["//probe:stock_test.py"],
        args = [
            "$(rootpath :archive)",
            "$(rootpath :image_layout)",
        ],
        data = [
            ":archive",
            ":image_layout",
        ],
        main = "//probe:stock_test.py",
        deps = [hub + "bentoml", hub + "numpy"],
        **of_python
    )
    python_image(
        name = "image",
        base = base,
        binary = ":main",
        compression = "gzip",
        ignore_libraries = _IGNORED,
        **of_python
    )
    native.filegroup(name = "image_layout", srcs = [":image"], output_group = "oci_layout")
