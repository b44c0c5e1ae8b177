"""Defines installed_wheel_aspect, which packs installed packages from hubs of rules_python into wheels for images."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//rules:providers.bzl", "BentoRequirementInfo", "BentoWheelInfo")
load(":attributes.bzl", "label_string")
load(":built_wheel.bzl", "describe_wheel")
load(":helper.bzl", "TOOLCHAIN_TYPE", "subcommand", "target_arguments", "write_output")
load(":providers.bzl", "BentoInstalledWheelInfo")
load(":sources_aspect.bzl", "SOURCE_EDGES", "edges_in", "pin_of")
load(":wheel_groups.bzl", "ALONE")

# The sizes of files are unknown during the analysis. A package with machine code is a separate layer, another package with 512 files.
_FILE_SIZE = ALONE // 512

def _describe_installed(file):
    return ["--file", file.short_path, file.path]

def _pack(ctx, pin, files, metadata):
    """Declares the action that packs the installed files of a package into a wheel. Returns a BentoWheelInfo."""
    name, _, version = pin.partition("==")
    python_version = ctx.attr._python_version[BuildSettingInfo].value
    args = target_arguments(ctx)
    args.add_all(["--root", metadata.short_path.partition("site-packages/")[0], "--python-version", python_version])
    args.add_all(files, map_each = _describe_installed)
    wheel = write_output(
        ctx,
        ctx.actions.declare_file("{}-{}-py3-none-any.whl".format(name.replace("-", "_"), version)),
        # The wheel isn't compressed, and packing it is as fast as a download.
        cache_limit = "no-cache",
        mnemonic = "BentoWheel",
        progress_message = "Packing installed package {}".format(pin),
        subcommand = subcommand("pack_installed", args, inputs = depset(files), packages = ["packaging"]),
    )
    has_machine_code = [file for file in files if ".so" in file.basename]
    return BentoWheelInfo(
        distribution = name,
        file = wheel,
        python_version = python_version,
        size = ALONE if has_machine_code else len(files) * _FILE_SIZE,
        version = version,
    )

def _installed_wheel_aspect_impl(target, ctx):
    below = [edge[BentoInstalledWheelInfo].requirements for edge in edges_in(ctx, SOURCE_EDGES) if BentoInstalledWheelInfo in edge]
    pin = pin_of(ctx)
    files = getattr(ctx.rule.files, "srcs", []) + getattr(ctx.rule.files, "data", []) if pin and "==" in pin else []

    # Newer versions of rules_python have two targets for each package, both with tags. Only one has the metadata.
    metadata = [file for file in files if file.short_path.endswith(".dist-info/METADATA")]
    if not metadata:
        return [BentoInstalledWheelInfo(requirements = depset(transitive = below), wheel = None)]
    if not ctx.attr._python_version[BuildSettingInfo].value:
        fail("{}: {} is from a rules_python package hub, which doesn't specify the Python version. Set python_version on the python_image target, such as \"3.12\".".format(label_string(target.label), pin))
    wheel = _pack(ctx, pin, files, metadata[0])
    requirement = BentoRequirementInfo(
        distribution = wheel.distribution,
        packages = depset([describe_wheel(ctx, wheel)]),
        python_version = wheel.python_version,
        wheels = depset([wheel]),
    )
    return [BentoInstalledWheelInfo(requirements = depset([requirement], transitive = below), wheel = wheel)]

installed_wheel_aspect = aspect(
    implementation = _installed_wheel_aspect_impl,
    doc = "Builds a wheel from each package in the package hubs of rules_python. All images share the wheels.",
    attr_aspects = SOURCE_EDGES,
    attrs = {"_python_version": attr.label(default = "//rules:python_version", providers = [BuildSettingInfo])},
    provides = [BentoInstalledWheelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
