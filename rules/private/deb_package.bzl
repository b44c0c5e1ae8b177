"""A rule for a locked Debian package; hubs of `bento.apt` have one for each."""

load("//rules:providers.bzl", "BentoDebInfo")

def _deb_package_impl(ctx):
    files = depset(ctx.files.files)
    return [
        BentoDebInfo(
            architecture = ctx.attr.architecture,
            files = files,
            glibc = ctx.attr.glibc,
            hub = ctx.attr.hub,
            python_version = ctx.attr.python_version,
        ),
        DefaultInfo(files = files),
    ]

deb_package = rule(
    implementation = _deb_package_impl,
    doc = "A Debian package with all that it depends on.",
    attrs = {
        "architecture": attr.string(doc = "As Debian names it.", mandatory = True),
        "files": attr.label_list(allow_files = [".deb"], doc = "The files of its closure.", mandatory = True),
        "glibc": attr.string(doc = "Version of the C library in the closure."),
        "hub": attr.string(doc = "Name of the hub.", mandatory = True),
        "python_version": attr.string(doc = "Version of Python in the closure."),
    },
    provides = [BentoDebInfo],
)
