"""A rule for the modules of a wheel that is built."""

load("//rules/providers:wheel.bzl", "BentoWheelInfo")
load("//rules/providers:wheel_modules.bzl", "BentoWheelModulesInfo")
load(":helper.bzl", "TOOLCHAIN_TYPE", "arguments", "run_helper")

def _built_wheel_modules_impl(ctx):
    wheel = ctx.attr.wheel[BentoWheelInfo]
    folder = ctx.actions.declare_directory("site-packages")
    args = arguments(ctx)
    args.add_all(["--wheel", wheel.file])
    args.add_all(["--output", folder.path])
    run_helper(
        ctx,
        mnemonic = "BentoWheelModules",
        progress_message = "Unpacking the wheel of {}".format(wheel.distribution),
        verb = "unpack_wheel",
        args = args,
        inputs = depset([wheel.file]),
        outputs = [folder],
    )
    files = depset([folder])
    return [
        BentoWheelModulesInfo(
            distribution = wheel.distribution,
            files = files,
            import_roots = [folder.path],
            imports = [folder.short_path.removeprefix("../")],
            version = wheel.version,
            wheel = wheel.file,
        ),
        DefaultInfo(files = files),
    ]

built_wheel_modules = rule(
    implementation = _built_wheel_modules_impl,
    doc = "The modules of a wheel that an action built.",
    attrs = {
        "wheel": attr.label(doc = "The wheel.", mandatory = True, providers = [BentoWheelInfo]),
    },
    provides = [BentoWheelModulesInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
