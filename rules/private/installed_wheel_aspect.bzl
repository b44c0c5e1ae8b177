"""Defines installed_wheel_aspect, which packs installed packages from hubs of rules_python into wheels for images."""

load("//rules:providers.bzl", "BentoRequirementInfo", "BentoWheelInfo")
load(":attributes.bzl", "label_string")
load(":built_wheel.bzl", "describe_wheel")
load(":helper.bzl", "TOOLCHAIN_TYPE", "run_helper", "subcommand", "target_arguments")
load(":providers.bzl", "BentoFlagInfo", "BentoInstalledWheelInfo")
load(":sources_aspect.bzl", "SOURCE_EDGES", "pin_of")
load(":wheel_groups.bzl", "ALONE")

# The sizes of files are unknown during the analysis. A package with machine code is a separate layer, another package with 512 files.
_FILE_SIZE = ALONE // 512

def _describe_installed(file):
    return ["--file", file.short_path, file.path]

def _metadata(files):
    """Returns the METADATA file among the installed files of a package, or None."""
    for file in files:
        if file.short_path.endswith(".dist-info/METADATA"):
            return file
    return None

def _pack(ctx, pin, files, metadata):
    """Declares the action that packs the installed files of a package into a wheel. Returns a BentoWheelInfo."""
    name, _, version = pin.partition("==")
    python_version = ctx.attr._python_version[BentoFlagInfo].value
    wheel = ctx.actions.declare_file("{}-{}-py3-none-any.whl".format(name.replace("-", "_"), version))
    args = target_arguments(ctx)
    args.add_all(["--root", metadata.short_path.partition("site-packages/")[0], "--python-version", python_version, "--output", wheel])
    args.add_all(files, map_each = _describe_installed)
    run_helper(
        ctx,
        # The wheel isn't compressed, and packing it is as fast as a download.
        cached = False,
        mnemonic = "BentoWheel",
        progress_message = "Packing installed package {}".format(pin),
        subcommand = subcommand("pack_installed", args, inputs = depset(files), packages = ["packaging"]),
        outputs = [wheel],
    )
    has_machine_code = [file for file in files if ".so" in file.basename]
    return BentoWheelInfo(
        allow_record_mismatch = False,
        distribution = name,
        file = wheel,
        python_version = python_version,
        sha256 = "",
        size = ALONE if has_machine_code else len(files) * _FILE_SIZE,
        version = version,
    )

def _requirement(ctx, wheel):
    return BentoRequirementInfo(
        distribution = wheel.distribution,
        glibc = "",
        modules = depset(),
        packages = depset([describe_wheel(ctx, wheel)]),
        platform = "",
        python_version = wheel.python_version,
        vendored = depset(),
        wheels = depset([wheel]),
    )

def _installed_wheel_aspect_impl(target, ctx):
    edges = [getattr(ctx.rule.attr, name, None) for name in SOURCE_EDGES]
    below = [edge[BentoInstalledWheelInfo].requirements for value in edges if type(value) == "list" for edge in value if BentoInstalledWheelInfo in edge]
    pin = pin_of(ctx)
    files = getattr(ctx.rule.files, "srcs", []) + getattr(ctx.rule.files, "data", []) if pin and "==" in pin else []

    # Newer versions of rules_python have two targets for each package, both with tags. Only one has the metadata.
    metadata = _metadata(files)
    if not metadata:
        return [BentoInstalledWheelInfo(requirements = depset(transitive = below), wheel = None)]
    if not ctx.attr._python_version[BentoFlagInfo].value:
        fail("{}: {} is from a rules_python package hub, which doesn't specify the Python version. Set python_version on the python_image target, such as \"3.12\".".format(label_string(target.label), pin))
    wheel = _pack(ctx, pin, files, metadata)
    return [BentoInstalledWheelInfo(requirements = depset([_requirement(ctx, wheel)], transitive = below), wheel = wheel)]

installed_wheel_aspect = aspect(
    implementation = _installed_wheel_aspect_impl,
    doc = "Builds a wheel from each package in the package hubs of rules_python. All images share the wheels.",
    attr_aspects = SOURCE_EDGES,
    attrs = {"_python_version": attr.label(default = "//rules:python_version", providers = [BentoFlagInfo])},
    provides = [BentoInstalledWheelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
