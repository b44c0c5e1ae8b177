"""Layers of wheels are the same files in an image of a Bento and in an image of a program, and so is what they cost."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoImageIndexInfo", "BentoImageInfo")

# Packages of both with layers of their own.
_LARGE = ["numpy", "pydantic-core", "scikit-learn", "scipy"]

def _sharing_impl(ctx):
    env = analysistest.begin(ctx)
    program = _layers(analysistest.target_under_test(env))
    for target in ctx.attr.bento_images:
        bento = _layers(target)
        for name in _LARGE:
            # The wheel and its bytecode.
            asserts.equals(env, 2, len(program.get(name, [])), name)
            asserts.equals(env, bento.get(name), program.get(name))
    return analysistest.end(env)

def _layers(image):
    layers = {}
    for layer in image[BentoImageInfo].layers:
        layers.setdefault(layer.blob.basename.partition(".")[0], []).append(layer.blob)
    return layers

sharing_test = analysistest.make(
    _sharing_impl,
    attrs = {"bento_images": attr.label_list(mandatory = True, providers = [BentoImageInfo])},
)

def _index_impl(ctx):
    env = analysistest.begin(ctx)
    image = ctx.attr.image[BentoImageInfo]
    others = [each for each in analysistest.target_under_test(env)[BentoImageIndexInfo].images if each != image]
    asserts.equals(env, 1, len(others))
    return analysistest.end(env)

# The image of the default platform is the same target as without an index, and so is the Bento in it.
index_test = analysistest.make(
    _index_impl,
    attrs = {"image": attr.label(mandatory = True, providers = [BentoImageInfo])},
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
