"""Layers of wheels are the same files in an image of a Bento and in an image of a program, and so is what they cost."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoImageInfo")

# Packages of both with layers of their own.
_LARGE = ["numpy", "pydantic-core", "scikit-learn", "scipy"]

def _sharing_impl(ctx):
    env = analysistest.begin(ctx)
    program = {layer.blob.basename.partition(".")[0]: layer.blob for layer in analysistest.target_under_test(env)[BentoImageInfo].layers}
    bento = {layer.blob.basename.partition(".")[0]: layer.blob for layer in ctx.attr.bento_image[BentoImageInfo].layers}
    for name in _LARGE:
        asserts.true(env, name in program and name in bento, name)
        asserts.equals(env, bento.get(name), program.get(name))
    return analysistest.end(env)

sharing_test = analysistest.make(
    _sharing_impl,
    attrs = {"bento_image": attr.label(mandatory = True, providers = [BentoImageInfo])},
)

runtime_library = rule(
    implementation = lambda ctx: [
        DefaultInfo(),
        PyInfo(transitive_sources = depset()),
    ],
    doc = "A library as others write them, with packages in an attribute other than `deps`.",
    attrs = {"runtime_deps": attr.label_list(doc = "Libraries.", providers = [PyInfo])},
    provides = [PyInfo],
)

def _packages_impl(ctx):
    env = analysistest.begin(ctx)
    [sbom] = [action for action in analysistest.target_actions(env) if action.mnemonic == "BentoSbom"]
    asserts.true(env, ctx.attr.package in sbom.argv, str(sbom.argv))
    return analysistest.end(env)

packages_test = analysistest.make(_packages_impl, attrs = {"package": attr.string(mandatory = True)})
