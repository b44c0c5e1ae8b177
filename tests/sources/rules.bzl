"""Rules as others write them, which provide Python libraries."""

load("@bazel_skylib//lib:paths.bzl", "paths")
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

def _python(ctx, files, roots):
    """Returns the providers of a library: DefaultInfo and PyInfo, with the same values as of a py_library."""
    package = (ctx.label.workspace_root.removeprefix("external/") or ctx.workspace_name) + "/" + ctx.label.package
    below = [dep[PyInfo] for dep in ctx.attr.deps]
    data = ctx.runfiles(ctx.files.data).merge_all([target[DefaultInfo].default_runfiles for target in ctx.attr.data + ctx.attr.deps])
    return [
        DefaultInfo(files = depset(files), runfiles = ctx.runfiles(files).merge(data)),
        PyInfo(
            imports = depset([paths.normalize(package + "/" + root) for root in roots], transitive = [info.imports for info in below]),
            transitive_sources = depset(files, transitive = [info.transitive_sources for info in below]),
        ),
    ]

_LIBRARY = {
    "data": attr.label_list(allow_files = True, doc = "Files, and targets with runfiles."),
    "deps": attr.label_list(doc = "Libraries.", providers = [PyInfo]),
    "imports": attr.string_list(doc = "Import roots, relative to the package."),
}

foreign_library = rule(
    implementation = lambda ctx: _python(ctx, ctx.files.srcs, ctx.attr.imports),
    doc = "A library with the providers of a py_library. Without `srcs`, it declares import roots for the files of `deps`.",
    attrs = _LIBRARY | {"srcs": attr.label_list(allow_files = True, doc = "The modules.")},
    provides = [PyInfo],
)

def _client_impl(ctx):
    directory = ctx.actions.declare_directory(ctx.label.name)
    source = "/".join([directory.path] + ctx.attr.below + [ctx.attr.package, "__init__.py"])
    command = "mkdir -p $(dirname $1) && echo \"PATH = '$2'\" > $1"
    ctx.actions.run_shell(outputs = [directory], command = command, arguments = [source, ctx.attr.package])
    return _python(ctx, [directory], ["/".join([ctx.label.name] + ctx.attr.below)])

client = rule(
    implementation = _client_impl,
    doc = "A package in an output directory, as generators of API clients write it. The directory, or a directory in it, is the import root.",
    attrs = _LIBRARY | {
        "below": attr.string_list(doc = "Parts of the path of the import root, relative to the output directory."),
        "package": attr.string(doc = "Name of the package."),
    },
    provides = [PyInfo],
)

def _linked_impl(ctx):
    outputs = []
    for file in ctx.files.srcs:
        output = ctx.actions.declare_file(ctx.attr.prefix + "/" + file.basename)
        ctx.actions.symlink(output = output, target_file = file)
        outputs.append(output)
    return _python(ctx, outputs, ["."])

linked = rule(
    implementation = _linked_impl,
    doc = "A library whose sources are links below the directory `prefix`.",
    attrs = _LIBRARY | {"prefix": attr.string(), "srcs": attr.label_list(allow_files = True)},
)

_transition = transition(
    implementation = lambda settings, attributes: {"//command_line_option:compilation_mode": "opt"},
    inputs = [],
    outputs = ["//command_line_option:compilation_mode"],
)

forward = rule(
    implementation = lambda ctx: [ctx.attr.exports[0][DefaultInfo], ctx.attr.exports[0][PyInfo]],
    doc = "A wrapper with a transition, in the form of with_cfg.bzl.",
    attrs = {
        "exports": attr.label(cfg = _transition, providers = [PyInfo]),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

implicit = rule(
    implementation = lambda ctx: [ctx.attr._runtime[DefaultInfo], ctx.attr._runtime[PyInfo]],
    doc = "A rule whose library is a private attribute.",
    attrs = {"_runtime": attr.label(default = "//tests/sources/layouts/lib:wrapped_module", providers = [PyInfo])},
)
