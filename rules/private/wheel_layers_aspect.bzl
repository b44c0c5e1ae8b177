"""Layers for the wheels of a closure, declared where the wheels are, so that all images share them."""

load("//rules/providers:wheel.bzl", "BentoWheelInfo")
load("//rules/providers:wheel_layers.bzl", "BentoWheelLayersInfo")
load(":helper.bzl", "TOOLCHAIN_TYPE")
load(":layers.bzl", "COMPRESSIONS", "write_wheel_layer")

# A wheel of this size is a layer of its own: worth a request to a registry, and of BentoML's closure about six are.
_LARGE = 2 * 1024 * 1024

_EDGES = ["deps", "requirements", "wheels"]

def _edges(ctx):
    edges = []
    for name in _EDGES:
        value = getattr(ctx.rule.attr, name, None)
        edges += [edge for edge in value if BentoWheelLayersInfo in edge] if type(value) == "list" else []
    return [edge[BentoWheelLayersInfo] for edge in edges]

def _wheel_layers_aspect_impl(target, ctx):
    if BentoWheelInfo not in target:
        below = _edges(ctx)
        return [BentoWheelLayersInfo(
            large = depset(transitive = [info.large for info in below]),
            small = depset(transitive = [info.small for info in below]),
        )]
    wheel = target[BentoWheelInfo]
    if wheel.size < _LARGE:
        return [BentoWheelLayersInfo(large = depset(), small = depset([wheel]))]
    layer = write_wheel_layer(
        ctx,
        compression = ctx.attr.compression,
        name = wheel.distribution,
        wheels = [wheel],
        what = "{} {}".format(wheel.distribution, wheel.version),
    )
    return [BentoWheelLayersInfo(large = depset([layer]), small = depset())]

wheel_layers_aspect = aspect(
    implementation = _wheel_layers_aspect_impl,
    doc = "A layer for each large wheel of a closure, written once for all images.",
    attr_aspects = _EDGES,
    attrs = {
        "compression": attr.string(values = COMPRESSIONS),
    },
    provides = [BentoWheelLayersInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
