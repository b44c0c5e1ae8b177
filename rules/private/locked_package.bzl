"""A rule for what a lock says of a package."""

locked_package = rule(
    implementation = lambda ctx: DefaultInfo(files = depset([ctx.file.description])),
    doc = "Version, edges and files of a package, as JSON.",
    attrs = {
        "description": attr.label(allow_single_file = [".json"], doc = "The JSON file.", mandatory = True),
    },
)
