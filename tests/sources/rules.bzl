"""Rules as others write them, which provide Python libraries."""

load("@rules_python//python:py_info.bzl", "PyInfo")

_SCHEMA_SUFFIX = ".schema"

def _schema_library_impl(ctx):
    """As py_proto_library does: sources below a folder of their own, which is imported from, and data in the runfiles."""
    folder = "_virtual_imports/" + ctx.label.name
    sources, data = [], []
    for file in ctx.files.schemas:
        name = file.basename.removesuffix(_SCHEMA_SUFFIX)
        source = ctx.actions.declare_file("{}/schemas/{}_pb2.py".format(folder, name))
        ctx.actions.write(source, "NAME = \"{}\"\n".format(name))
        sources.append(source)
        descriptor = ctx.actions.declare_file("{}/schemas/{}.json".format(folder, name))
        ctx.actions.write(descriptor, "{}\n")
        data.append(descriptor)
    below = [dep[PyInfo] for dep in ctx.attr.libs]
    symlinks = {"elsewhere/" + file.basename: file for file in ctx.files.linked}
    return [
        DefaultInfo(files = depset(sources), runfiles = ctx.runfiles(files = sources + data, symlinks = symlinks)),
        PyInfo(
            imports = depset(["{}/{}/{}".format(ctx.workspace_name, ctx.label.package, folder)], transitive = [info.imports for info in below]),
            transitive_sources = depset(sources, transitive = [info.transitive_sources for info in below]),
        ),
    ]

schema_library = rule(
    implementation = _schema_library_impl,
    doc = "Modules generated of schemas.",
    attrs = {
        "generator": attr.label(cfg = "exec", doc = "A program that has nothing to do with what is built."),
        "libs": attr.label_list(doc = "Libraries, in an attribute of a name of its own.", providers = [PyInfo]),
        "linked": attr.label_list(allow_files = True, doc = "Files that runfiles have in another place."),
        "schemas": attr.label_list(allow_files = [_SCHEMA_SUFFIX], doc = "The schemas."),
    },
    provides = [PyInfo],
)
