"""A rule for the modules of a wheel that is built."""

load("//rules:providers.bzl", "BentoWheelInfo", "BentoWheelModulesInfo")
load(":helper.bzl", "TOOLCHAIN_TYPE")
load(":unpacked_wheel.bzl", "unpacked_wheel")

def _built_wheel_modules_impl(ctx):
    modules = unpacked_wheel(ctx, ctx.attr.wheel[BentoWheelInfo], "site-packages")
    return [modules, DefaultInfo(files = modules.files)]

built_wheel_modules = rule(
    implementation = _built_wheel_modules_impl,
    doc = "The modules of a wheel that an action built.",
    attrs = {
        "wheel": attr.label(doc = "The wheel.", mandatory = True, providers = [BentoWheelInfo]),
    },
    provides = [BentoWheelModulesInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
