"""Rules for bases that are existing images, in repositories of `bento.base`."""

load("//rules:providers.bzl", "BentoBaseInfo", "BentoLayerInfo")
load(":helper.bzl", "TOOLCHAIN_TYPE")
load(":layer_contents.bzl", "scan_layers")

def _image_layer_impl(ctx):
    layer = BentoLayerInfo(blob = ctx.file.blob, description = ctx.file.description, origin = ctx.attr.origin)
    return [layer, DefaultInfo(files = depset([layer.description]))]

image_layer = rule(
    implementation = _image_layer_impl,
    doc = "A layer of an image.",
    attrs = {
        "blob": attr.label(allow_single_file = True, doc = "The layer in the form of a registry; empty for a layer that stays in its registry."),
        "description": attr.label(allow_single_file = [".json"], doc = "Description of the layer: see BentoLayerInfo.", mandatory = True),
        "origin": attr.string(doc = "`registry/repository` that has the layer; empty for a local layer."),
    },
    provides = [BentoLayerInfo],
)

def _contents(ctx, layers):
    """Scans the base for shared libraries and packages, if all of its layers are local."""
    if [layer for layer in layers if not layer.blob]:
        return struct(libraries = None, system = None)
    return scan_layers(ctx, [(layer.description, layer.blob) for layer in layers])

def _image_base_impl(ctx):
    layers = [target[BentoLayerInfo] for target in ctx.attr.layers]
    contents = _contents(ctx, layers)
    return [
        BentoBaseInfo(
            config = ctx.file.config,
            deb_index = None,
            glibc = ctx.attr.glibc,
            layers = tuple(layers),
            libraries = contents.libraries,
            name = ctx.attr.base,
            python = ctx.attr.python,
            python_version = ctx.attr.python_version,
            system = contents.system,
        ),
        DefaultInfo(files = depset([ctx.file.config], transitive = [target[DefaultInfo].files for target in ctx.attr.layers])),
    ]

image_base = rule(
    implementation = _image_base_impl,
    doc = "An existing image as a base for other images.",
    attrs = {
        "base": attr.string(doc = "Name in messages.", mandatory = True),
        "config": attr.label(allow_single_file = [".json"], doc = "Architecture, os, and environment: see BentoBaseInfo.", mandatory = True),
        "glibc": attr.string(doc = "Version of the image's glibc, `X.Y`; empty if unknown."),
        "layers": attr.label_list(doc = "Layers from the lowest up.", mandatory = True, providers = [BentoLayerInfo]),
        "python": attr.string(doc = "Absolute path of its interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
    },
    provides = [BentoBaseInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
