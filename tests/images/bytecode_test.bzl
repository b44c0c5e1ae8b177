"""Byte code: which actions make it, and what is said where no interpreter can."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoImageInfo", "BentoRequirementInfo", "BentoWheelInfo")

def _names(layers):
    return [layer.blob.basename.partition(".")[2] for layer in layers if layer.blob]

def _layers_impl(ctx):
    env = analysistest.begin(ctx)
    names = _names(analysistest.target_under_test(env)[BentoImageInfo].layers)
    bytecode = [name for name in names if name.startswith("bytecode-")]
    wheels = [name for name in names if name.startswith("wheels-")]
    asserts.true(env, bytecode and wheels, str(names))
    for name in wheels:
        asserts.true(env, name.replace("wheels-", "bytecode-") in bytecode, name)
    return analysistest.end(env)

layers_test = analysistest.make(_layers_impl)

def _refused_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "the base has Python 3.12, but Python 3.13")
    asserts.expect_failure(env, "with bento_tools.python(version = \"3.12\"). Or use a base with Python 3.13")
    asserts.expect_failure(env, "or declare the image with bytecode = \"none\"")
    return analysistest.end(env)

refused_test = analysistest.make(_refused_impl, expect_failure = True)

def _requirement_impl(ctx):
    wheel = BentoWheelInfo(
        distribution = "acme",
        file = ctx.file.src,
        python_version = ctx.attr.python_version,
        allow_record_mismatch = False,
        sha256 = "",
        size = 1,
        version = "1.0",
    )
    return [
        wheel,
        BentoRequirementInfo(
            distribution = "acme",
            glibc = "2.36",
            modules = depset(),
            packages = depset(),
            platform = "linux_amd64",
            python_version = ctx.attr.python_version,
            vendored = depset(),
            wheels = depset([wheel]),
        ),
        PyInfo(transitive_sources = depset()),
    ]

requirement_for = rule(
    implementation = _requirement_impl,
    doc = "A package of a hub for some version of Python, as far as analysis goes.",
    attrs = {
        "python_version": attr.string(mandatory = True),
        "src": attr.label(allow_single_file = True, mandatory = True),
    },
)
