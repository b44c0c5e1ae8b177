"""Layers and layer parts of wheels, declared where the wheels are, so that all images share them."""

load("//rules:providers.bzl", "BentoWheelInfo")
load(":attributes.bzl", "label_string")
load(":helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper", "verb")
load(":layers.bzl", "COMPRESSIONS", "add_wheel", "wheel_packages", "write_bytecode_part", "write_wheel_layer", "write_wheel_part")
load(":providers.bzl", "BentoCompilersInfo", "BentoFlagInfo", "BentoWheelPartInfo", "BentoWheelPartsInfo")
load(":wheel_groups.bzl", "ALONE")

_EDGES = ["deps", "requirements", "wheels"]

def _edges(ctx):
    edges = []
    for name in _EDGES:
        value = getattr(ctx.rule.attr, name, None)
        edges += [edge for edge in value if BentoWheelPartsInfo in edge] if type(value) == "list" else []
    return [edge[BentoWheelPartsInfo].parts for edge in edges]

def _libraries(ctx, wheel):
    """Declares the library list of a wheel, for images that build no layer of the wheel."""
    output = ctx.actions.declare_file(wheel.distribution + ".libraries.json")
    args = arguments(ctx)
    add_wheel(args, wheel)
    args.add_all(["--output", output])
    run_helper(
        ctx,
        mnemonic = "BentoScanLibraries",
        progress_message = "Scanning shared libraries of {} {}".format(wheel.distribution, wheel.version),
        verb = verb("wheel_libraries", args, inputs = depset([wheel.file]), packages = wheel_packages(wheel)),
        outputs = [output],
    )
    return output

def _excluded(ctx, wheel):
    """Declares the size of a wheel's excluded files, for reports."""
    if not wheel.exclude and not wheel.exclude_preset:
        return None
    output = ctx.actions.declare_file(wheel.distribution + ".excluded.json")
    args = arguments(ctx)
    add_wheel(args, wheel)
    args.add_all(["--output", output])
    run_helper(
        ctx,
        mnemonic = "BentoExcludedFiles",
        progress_message = "Listing excluded files of {} {}".format(wheel.distribution, wheel.version),
        verb = verb("wheel_excluded", args, inputs = depset([wheel.file]), packages = wheel_packages(wheel)),
        outputs = [output],
    )
    return output

def _compiler(ctx, wheel):
    """Returns an interpreter of the wheel's Python version: the one declared for it, or the toolchain's; None without one."""
    for python in ctx.attr._compilers[BentoCompilersInfo].pythons + (ctx.toolchains[TOOLCHAIN_TYPE].python,):
        if (python.version + ".").startswith(wheel.python_version + "."):
            return python
    return None

def _bytecode(ctx, wheel, bytecode, settings):
    compiler = _compiler(ctx, wheel)
    part, listing = None, None
    if compiler:
        part, listing = write_bytecode_part(
            ctx,
            bytecode = bytecode,
            compiler = compiler,
            program = ctx.file._bytecode_program,
            settings = settings,
            wheel = wheel,
        )
    return BentoWheelPartInfo(
        excluded = None,
        layer = None,
        layer_libraries = None,
        libraries = None,
        listing = listing,
        part = part,
        part_libraries = None,
        wheel = wheel,
    )

def _files(ctx, wheel, settings):
    is_large = wheel.size >= ALONE

    part, listing, part_libraries = write_wheel_part(ctx, wheel = wheel, settings = settings)

    # A small wheel never has its own layer; for a large wheel, that depends on the other wheels of an image.
    layer, layer_libraries = write_wheel_layer(ctx, wheel = wheel, settings = settings) if is_large else (None, None)

    # Wheels for all platforms rarely have machine code, so a separate process would cost more than the part.
    looked_into = not is_large and wheel.file.basename.endswith("-any.whl")
    return BentoWheelPartInfo(
        excluded = _excluded(ctx, wheel),
        layer = layer,
        layer_libraries = layer_libraries,
        libraries = part_libraries if looked_into else _libraries(ctx, wheel),
        listing = listing,
        part = part,
        part_libraries = part_libraries,
        wheel = wheel,
    )

def _wheel_parts_aspect_impl(target, ctx):
    if BentoWheelInfo not in target:
        return [BentoWheelPartsInfo(parts = depset(transitive = _edges(ctx)))]
    wheel = target[BentoWheelInfo]
    if not wheel.python_version:
        fail("{}: the Python version for {} is unknown, because none of its deps sets one. Set python_version of the bento_package, such as \"3.12\"".format(
            label_string(target.label),
            wheel.distribution,
        ))
    settings = struct(compression = ctx.attr.compression, prefix = ctx.attr._prefix[BentoFlagInfo].value)
    bytecode = ctx.attr._bytecode[BentoFlagInfo].value
    info = _files(ctx, wheel, settings) if bytecode == "none" else _bytecode(ctx, wheel, bytecode, settings)
    return [BentoWheelPartsInfo(parts = depset([info], transitive = _edges(ctx)))]

wheel_parts_aspect = aspect(
    implementation = _wheel_parts_aspect_impl,
    doc = "Writes the layer or layer part of each wheel, or of its bytecode, once for all images.",
    attr_aspects = _EDGES,
    attrs = {
        "compression": attr.string(values = COMPRESSIONS),
        "_bytecode": attr.label(default = "//rules:bytecode", providers = [BentoFlagInfo]),
        "_bytecode_program": attr.label(allow_single_file = True, default = "//py:bytecode.py"),
        "_compilers": attr.label(default = "//toolchains:compilers", providers = [BentoCompilersInfo]),
        "_prefix": attr.label(default = "//rules:prefix", providers = [BentoFlagInfo]),
    },
    provides = [BentoWheelPartsInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
