"""Defines bento_layer, which builds an image layer from files or a tar archive."""

load("//rules:providers.bzl", "BentoLayerInfo")
load("//rules/private:attributes.bzl", "add_pairs", "json_string", "label_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "subcommand", "target_arguments")
load("//rules/private:layers.bzl", "COMPRESSIONS", "write_layer")

_MODE = "0644"
_OWNER = "0"

def _check(ctx):
    """Fails if the layer is empty, if attributes can't be combined, or if paths in the image aren't absolute."""
    conflicting = [name for name in ("srcs", "symlinks") if getattr(ctx.attr, name)]
    conflicting += ["mode"] if ctx.attr.mode != _MODE else []
    conflicting += ["owner"] if ctx.attr.owner != _OWNER else []
    if ctx.file.tar and conflicting:
        fail("{}: tar can't be combined with {}. Use a separate bento_layer for tar.".format(label_string(ctx.label), " or ".join(conflicting)))
    if not ctx.file.tar and not ctx.attr.srcs and not ctx.attr.symlinks:
        fail("{}: the layer is empty. Set srcs, symlinks, or tar.".format(label_string(ctx.label)))
    for path in ctx.attr.srcs.values() + ctx.attr.symlinks.keys():
        if not path.startswith("/"):
            fail("{}: \"{}\" isn't an absolute path. Use \"/{}\".".format(label_string(ctx.label), path, path))

def _files(target, path):
    """Returns pairs of a File and its path in the image. Files are in `path` if it ends with a slash; otherwise, fails unless there is one file."""
    files = target[DefaultInfo].files.to_list()  # the list is short: files in the attributes of the target
    if path.endswith("/"):
        # The action lists the files of a tree artifact. The paths in the image don't include the name of the tree artifact.
        return [(file, path if file.is_directory else path + file.basename) for file in files]
    if len(files) != 1:
        fail("{} has {} files, but \"{}\" is the path of a single file. For a directory, use \"{}/\".".format(label_string(target.label), len(files), path, path))
    return [(files[0], path)]

def _files_layer(ctx):
    pairs = [pair for target, path in ctx.attr.srcs.items() for pair in _files(target, path)]
    args = target_arguments(ctx)
    args.add_all(["--mode", ctx.attr.mode, "--owner", ctx.attr.owner])
    for file, path in pairs:
        args.add_all(["--file", file, json_string(path)], expand_directories = False)
    add_pairs(args, "--symlink", ctx.attr.symlinks)
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name,
        progress_message = "Writing layer %{label}",
        subcommand = subcommand("files_layer", args, inputs = depset([file for file, _ in pairs])),
    )

def _tar_layer(ctx):
    args = target_arguments(ctx)
    args.add_all(["--tar", ctx.file.tar, ctx.file.tar.short_path])
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name,
        progress_message = "Writing layer %{label}",
        # The tar archive can be compressed with zstd, independent of the attribute `compression`.
        subcommand = subcommand("tar_layer", args, inputs = depset([ctx.file.tar]), packages = ["zstandard"]),
    )

def _bento_layer_impl(ctx):
    _check(ctx)
    layer = _tar_layer(ctx) if ctx.file.tar else _files_layer(ctx)
    return [layer, DefaultInfo(files = depset([layer.description])), OutputGroupInfo(layer = depset([layer.blob]))]

bento_layer = rule(
    implementation = _bento_layer_impl,
    doc = """Builds an image layer from files, or from a tar archive. Add the layer to `layers` of a `bento_image`.

```starlark
bento_layer(
    name = "settings",
    srcs = {
        ":logging.yaml": "/etc/acme/logging.yaml",
        ":plugins": "/opt/acme/plugins/",
    },
)

bento_layer(
    name = "fonts",
    tar = ":fonts_tar",
)
```

The layer is reproducible. For files in `srcs`, the modification time is constant, and the attributes `owner` and `mode` determine owner and mode.
With `tar`, the entries of the archive remain unchanged, and a damaged archive is an error. The default output is a JSON file that describes the
layer. Output group: `layer`.""",
    attrs = {
        "compression": attr.string(default = "zstd", doc = "Compression of the layer: `zstd` (default), or `gzip` for older runtimes and for SOCI. If `tar` is already compressed, the compression doesn't change.", values = COMPRESSIONS),
        "mode": attr.string(default = _MODE, doc = "Mode of all files, in octal digits. The modes in the source tree have no effect.", values = ["0444", "0555", _MODE, "0755"]),
        "owner": attr.string(default = _OWNER, doc = "Owner of files and links: a user ID, or `uid:gid`. Default: root. The owner of new parent directories is always root."),
        "srcs": attr.label_keyed_string_dict(allow_files = True, doc = "Files of the layer. Keys are targets; values are absolute paths in the image. If a path ends with a slash, the layer contains the target's files in this directory. The layer preserves the structure of an output directory."),
        "symlinks": attr.string_dict(doc = "Symbolic links to create. Keys are absolute paths; values are link targets: `{\"/usr/bin/acme\": \"../../opt/acme/bin/acme\"}`."),
        "tar": attr.label(allow_single_file = True, doc = "Tar archive that becomes the layer, such as the output of `pkg_tar` of rules_pkg. The archive can be uncompressed, or compressed with gzip or zstd."),
    },
    provides = [BentoLayerInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
