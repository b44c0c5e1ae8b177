"""A rule for a package of a hub; it can stand in the `deps` of py_library, py_binary and py_test."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoRequirementInfo", "BentoWheelInfo", "BentoWheelModulesInfo")

def _requirement_impl(ctx):
    modules = [target[BentoWheelModulesInfo] for target in ctx.attr.modules]
    files = depset(transitive = [module.files for module in modules])
    extra = "[{}]".format(ctx.attr.extra) if ctx.attr.extra else ""
    return [
        BentoRequirementInfo(
            distribution = ctx.attr.distribution + extra,
            glibc = ctx.attr.glibc,
            modules = depset(modules),
            packages = depset(ctx.files.packages),
            platform = ctx.attr.platform,
            python_version = ctx.attr.python_version,
            vendored = depset(),
            wheels = depset([target[BentoWheelInfo] for target in ctx.attr.wheels]),
        ),
        PyInfo(
            imports = depset([root for module in modules for root in module.imports]),
            transitive_sources = files,
        ),
        DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files)),
    ]

requirement = rule(
    implementation = _requirement_impl,
    doc = "A locked package with the closure of what it needs.",
    attrs = {
        "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
        "extra": attr.string(doc = "The extra that is asked for."),
        "glibc": attr.string(doc = "The newest C library that a wheel may ask for.", mandatory = True),
        "modules": attr.label_list(doc = "The modules of each package of the closure.", mandatory = True, providers = [BentoWheelModulesInfo]),
        "packages": attr.label_list(doc = "What the lock has of each package of the closure.", mandatory = True),
        "platform": attr.string(doc = "`<os>_<machine>`.", mandatory = True),
        "python_version": attr.string(doc = "`X.Y[.Z]`.", mandatory = True),
        "wheels": attr.label_list(doc = "The wheel of each package of the closure.", mandatory = True, providers = [BentoWheelInfo]),
    },
    provides = [BentoRequirementInfo, PyInfo],
)
