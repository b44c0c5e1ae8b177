"""Layers and parts of layers for the wheels of a closure, declared where the wheels are, so that all images share them."""

load("//rules/providers:flag.bzl", "BentoFlagInfo")
load("//rules/providers:wheel.bzl", "BentoWheelInfo")
load("//rules/providers:wheel_part.bzl", "BentoWheelPartInfo")
load("//rules/providers:wheel_parts.bzl", "BentoWheelPartsInfo")
load(":helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper")
load(":layer_plan.bzl", "ALONE")
load(":layers.bzl", "COMPRESSIONS", "INFLATE", "write_wheel_layer", "write_wheel_part")

_EDGES = ["deps", "requirements", "wheels"]

def _edges(ctx):
    edges = []
    for name in _EDGES:
        value = getattr(ctx.rule.attr, name, None)
        edges += [edge for edge in value if BentoWheelPartsInfo in edge] if type(value) == "list" else []
    return [edge[BentoWheelPartsInfo].parts for edge in edges]

def _libraries(ctx, wheel):
    """What checks of images have to know of a wheel; nothing of one for all platforms."""
    if wheel.file.basename.endswith("-any.whl"):
        return None
    output = ctx.actions.declare_file(wheel.distribution + ".libraries.json")
    args = arguments(ctx)
    args.add_all(["--wheel", wheel.file])
    args.add_all(["--output", output])
    run_helper(
        ctx,
        mnemonic = "BentoLibraries",
        progress_message = "Looking for the shared libraries of {} {}".format(wheel.distribution, wheel.version),
        verb = "wheel_libraries",
        args = args,
        inputs = depset([wheel.file]),
        outputs = [output],
        packages = INFLATE,
    )
    return output

def _wheel_parts_aspect_impl(target, ctx):
    if BentoWheelInfo not in target:
        return [BentoWheelPartsInfo(parts = depset(transitive = _edges(ctx)))]
    wheel = target[BentoWheelInfo]
    settings = {"compression": ctx.attr.compression, "prefix": ctx.attr._prefix[BentoFlagInfo].value}
    part, listing = write_wheel_part(ctx, wheel = wheel, **settings)

    # A small one is never alone; whether a large one is depends on the others of an image.
    layer = write_wheel_layer(ctx, wheel = wheel, **settings) if wheel.size >= ALONE else None
    info = BentoWheelPartInfo(
        layer = layer,
        libraries = _libraries(ctx, wheel),
        listing = listing,
        part = part,
        wheel = wheel,
    )
    return [BentoWheelPartsInfo(parts = depset([info], transitive = _edges(ctx)))]

wheel_parts_aspect = aspect(
    implementation = _wheel_parts_aspect_impl,
    doc = "What becomes of each wheel of a closure in images, written once for all of them.",
    attr_aspects = _EDGES,
    attrs = {
        "compression": attr.string(values = COMPRESSIONS),
        "_prefix": attr.label(default = "//rules:prefix", providers = [BentoFlagInfo]),
    },
    provides = [BentoWheelPartsInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
