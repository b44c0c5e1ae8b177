"""A rule for the modules of one wheel; the repositories of a hub hold one each."""

load("//rules:providers.bzl", "BentoWheelModulesInfo")

def _wheel_modules_impl(ctx):
    files = depset(ctx.files.srcs)
    return [
        BentoWheelModulesInfo(
            distribution = ctx.attr.distribution,
            files = files,
            import_roots = tuple([ctx.label.workspace_root + "/" + root for root in ctx.attr.import_roots]),
            imports = tuple([ctx.label.workspace_root.removeprefix("external/") + "/" + root for root in ctx.attr.import_roots]),
            version = ctx.attr.version,
            wheel = ctx.file.wheel,
        ),
        DefaultInfo(files = files),
    ]

wheel_modules = rule(
    implementation = _wheel_modules_impl,
    doc = "The unpacked modules of a wheel.",
    attrs = {
        "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
        "import_roots": attr.string_list(doc = "Folders of the repository that are imported from.", mandatory = True),
        "srcs": attr.label_list(allow_files = True, doc = "The files."),
        "version": attr.string(doc = "Version of the package.", mandatory = True),
        "wheel": attr.label(allow_single_file = [".whl"], doc = "The wheel.", mandatory = True),
    },
    provides = [BentoWheelModulesInfo],
)
