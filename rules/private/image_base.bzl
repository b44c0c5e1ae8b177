"""Bases that are images already: repositories of `bento.base` have these targets."""

load("//rules/providers:base.bzl", "BentoBaseInfo")
load("//rules/providers:layer.bzl", "BentoLayerInfo")

def _image_layer_impl(ctx):
    layer = BentoLayerInfo(blob = ctx.file.blob, description = ctx.file.description, origin = ctx.attr.origin)
    return [layer, DefaultInfo(files = depset([layer.description]))]

image_layer = rule(
    implementation = _image_layer_impl,
    doc = "A layer of an image.",
    attrs = {
        "blob": attr.label(allow_single_file = True, doc = "The layer as a registry has it; nothing if it stays there."),
        "description": attr.label(allow_single_file = [".json"], doc = "What is known of it: see BentoLayerInfo.", mandatory = True),
        "origin": attr.string(doc = "`registry/repository` that has it; empty if it only lies here."),
    },
    provides = [BentoLayerInfo],
)

def _image_base_impl(ctx):
    return [
        BentoBaseInfo(
            config = ctx.file.config,
            debs = None,
            glibc = ctx.attr.glibc,
            layers = tuple([target[BentoLayerInfo] for target in ctx.attr.layers]),
            python = ctx.attr.python,
            python_version = ctx.attr.python_version,
        ),
        DefaultInfo(files = depset([ctx.file.config], transitive = [target[DefaultInfo].files for target in ctx.attr.layers])),
    ]

image_base = rule(
    implementation = _image_base_impl,
    doc = "An image as what others are built on.",
    attrs = {
        "config": attr.label(allow_single_file = [".json"], doc = "Architecture, os and environment: see BentoBaseInfo.", mandatory = True),
        "glibc": attr.string(doc = "Version of its C library, `X.Y`; empty if not known."),
        "layers": attr.label_list(doc = "Its layers, from the lowest up.", mandatory = True, providers = [BentoLayerInfo]),
        "python": attr.string(doc = "Absolute path of its interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
    },
    provides = [BentoBaseInfo],
)
