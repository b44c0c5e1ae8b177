"""Defines bento_layer, which makes a layer of an image from files or a tar."""

load("//rules:providers.bzl", "BentoLayerInfo")
load("//rules/private:attributes.bzl", "add_pairs", "label_string", "json_string")
load("//rules/private:helper.bzl", "TOOLCHAIN_TYPE", "arguments", "verb")
load("//rules/private:layers.bzl", "COMPRESSIONS", "write_layer")

_MODE = "0644"
_OWNER = "0"

def _check(ctx):
    """Refuses a layer of nothing, and attributes that exclude each other."""
    given = [name for name in ("srcs", "symlinks") if getattr(ctx.attr, name)]
    given += ["mode"] if ctx.attr.mode != _MODE else []
    given += ["owner"] if ctx.attr.owner != _OWNER else []
    if ctx.file.tar and given:
        fail("{}: tar is a layer as it is, and {} would change it: make another bento_layer of these".format(ctx.label, " and ".join(given)))
    if ctx.file.tar and ctx.attr.compression in ("estargz", "zstd:chunked"):
        fail("{}: tar is a layer as it is, and {} would have a table of its files: leave compression out, or give srcs".format(ctx.label, ctx.attr.compression))
    if not ctx.file.tar and not ctx.attr.srcs and not ctx.attr.symlinks:
        fail("{}: has nothing for a layer: name srcs, symlinks or a tar".format(ctx.label))
    for path in ctx.attr.srcs.values() + ctx.attr.symlinks.keys():
        if not path.startswith("/"):
            fail("{}: \"{}\" is no absolute path, as places in an image are: write \"/{}\"".format(ctx.label, path, path))

def _files(target, path):
    """Returns the files of a target, each with its path in the image; a path that ends in a slash is a folder for them."""
    files = target[DefaultInfo].files.to_list()  # those that the rule's user names
    if path.endswith("/"):
        # Only the action knows what is in a tree artifact. It puts the contents there without the folder's own name.
        return [(file, path if file.is_directory else path + file.basename) for file in files]
    if len(files) != 1:
        fail("{} has {} files, and \"{}\" is the place of one: write \"{}/\" for a folder of them".format(label_string(target.label), len(files), path, path))
    return [(files[0], path)]

def _files_layer(ctx):
    placed = [pair for target, path in ctx.attr.srcs.items() for pair in _files(target, path)]
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--mode", ctx.attr.mode])
    args.add_all(["--owner", ctx.attr.owner])
    for file, path in placed:
        args.add_all(["--file", file, json_string(path)], expand_directories = False)
    add_pairs(args, "--symlink", ctx.attr.symlinks)
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name,
        progress_message = "Packing files into the layer %{label}",
        verb = verb("files_layer", args, inputs = depset([file for file, _ in placed])),
    )

def _tar_layer(ctx):
    args = arguments(ctx)
    args.add_all(["--target", label_string(ctx.label)])
    args.add_all(["--tar", ctx.file.tar, ctx.file.tar.short_path])
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = ctx.label.name,
        progress_message = "Making a layer of %{label}",
        # The tar may be compressed with zstd, whatever the layer is compressed with.
        verb = verb("tar_layer", args, inputs = depset([ctx.file.tar]), packages = ["zstandard"]),
    )

def _bento_layer_impl(ctx):
    _check(ctx)
    layer = _tar_layer(ctx) if ctx.file.tar else _files_layer(ctx)
    return [
        layer,
        DefaultInfo(files = depset([layer.description])),
        OutputGroupInfo(layer = depset([layer.blob])),
    ]

bento_layer = rule(
    implementation = _bento_layer_impl,
    doc = """A layer of files, or of a tar that another rule makes, for `layers` of `bento_image`.

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

The same inputs are the same layer everywhere: files have no time, and an owner and a mode that the attributes say. A tar is read to its end
and refused where it is damaged; its members stay as they are. The default output is the layer's description; the layer
is in the output group `layer`.""",
    attrs = {
        "compression": attr.string(default = "zstd", doc = "Of the layer: `zstd`; `gzip` for runtimes of old; `estargz`, of which files are read before the rest is there; or `zstd:chunked`, of which those are pulled that are not there yet (neither of a tar). A tar that is compressed already, with either, stays as it is.", values = COMPRESSIONS),
        "mode": attr.string(default = _MODE, doc = "Of all files, in octal digits, whatever theirs are here.", values = ["0444", "0555", _MODE, "0755"]),
        "owner": attr.string(default = _OWNER, doc = "Of files and links: a number, or `uid:gid`. Default: root. Folders that the layers below do not have are root's."),
        "srcs": attr.label_keyed_string_dict(allow_files = True, doc = "Files to their absolute paths in the image. A path that ends in a slash is a folder: the files of the target lie in it by their names, and what is in a folder that a rule makes as it is there."),
        "symlinks": attr.string_dict(doc = "Symbolic links, absolute path to target: `{\"/usr/bin/acme\": \"../../opt/acme/bin/acme\"}`."),
        "tar": attr.label(allow_single_file = True, doc = "A tar, plain or compressed with gzip or zstd, such as `pkg_tar` of rules_pkg makes."),
    },
    provides = [BentoLayerInfo],
    toolchains = [TOOLCHAIN_TYPE],
)
