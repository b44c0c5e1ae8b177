"""A rule for one wheel of a hub; the repositories of wheels hold one each."""

load("//rules:providers.bzl", "BentoWheelInfo")

def _locked_wheel_impl(ctx):
    return [
        BentoWheelInfo(
            distribution = ctx.attr.distribution,
            exclude = tuple(ctx.attr.exclude),
            exclude_preset = tuple(ctx.attr.exclude_preset),
            file = ctx.file.file,
            python_version = ctx.attr.python_version,
            allow_record_mismatch = ctx.attr.allow_record_mismatch,
            sha256 = ctx.attr.sha256,
            size = ctx.attr.size,
            version = ctx.attr.version,
        ),
        DefaultInfo(files = depset([ctx.file.file])),
    ]

locked_wheel = rule(
    implementation = _locked_wheel_impl,
    doc = "A wheel.",
    attrs = {
        "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
        "exclude": attr.string_list(doc = "Patterns of its files that images leave out."),
        "exclude_preset": attr.string_list(doc = "The same of presets; one may name nothing."),
        "file": attr.label(allow_single_file = [".whl"], doc = "The wheel.", mandatory = True),
        "python_version": attr.string(doc = "The Python that it is chosen for, `X.Y`.", mandatory = True),
        "allow_record_mismatch": attr.bool(doc = "Whether it is taken although its RECORD is wrong."),
        "sha256": attr.string(doc = "Of the file.", mandatory = True),
        "size": attr.int(doc = "Bytes of the file.", mandatory = True),
        "version": attr.string(doc = "Version of the package.", mandatory = True),
    },
    provides = [BentoWheelInfo],
)
