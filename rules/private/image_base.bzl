"""Bases that are images already: repositories of `bento.base` have these targets."""

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
        "blob": attr.label(allow_single_file = True, doc = "The layer as a registry has it; nothing if it stays there."),
        "description": attr.label(allow_single_file = [".json"], doc = "What is known of it: see BentoLayerInfo.", mandatory = True),
        "origin": attr.string(doc = "`registry/repository` that has it; empty if it only lies here."),
    },
    provides = [BentoLayerInfo],
)

def _contents(ctx, layers):
    """Finds out which shared libraries and packages the base has, as far as its layers are here."""
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
    doc = "An image as what others are built on.",
    attrs = {
        "base": attr.string(doc = "What people know it by.", mandatory = True),
        "config": attr.label(allow_single_file = [".json"], doc = "Architecture, os and environment: see BentoBaseInfo.", mandatory = True),
        "glibc": attr.string(doc = "Version of its C library, `X.Y`; empty if not known."),
        "layers": attr.label_list(doc = "Its layers, from the lowest up.", mandatory = True, providers = [BentoLayerInfo]),
        "python": attr.string(doc = "Absolute path of its interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Version of its interpreter, `X.Y`.", mandatory = True),
    },
    provides = [BentoBaseInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
