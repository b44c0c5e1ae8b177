"""Declares the actions that pack the `data` of a Bento separately, so that a changed source doesn't pack the data
again."""

load(":attributes.bzl", "describe_data", "describe_source")
load(":helper.bzl", "DEFLATE", "arguments", "run_helper", "subcommand")
load(":layers.bzl", "BENTO", "COMPRESSIONS", "USER", "write_layer")
load(":snapshot.bzl", "add_secrets", "add_selection", "file_options")

_IGNORE_FILE = ".bentoignore"

def pack_data(ctx):
    """Declares the archive `part`, the `manifest`, and the `layers` (compression to BentoLayerInfo) of `data`.

    Returns None without data.
    """
    if not ctx.files.data:
        return None
    options = file_options(ctx)
    ignore_files = [file for file in ctx.files.srcs if file.basename == _IGNORE_FILE]

    # With options, the names of all sources can affect the selection of data.
    sources = ctx.files.srcs if options or ctx.file.bentofile else ignore_files
    inputs = depset(ctx.files.data + ctx.files.bentofile + ignore_files)
    packages = ["blake3", "packaging", "pathspec"] + (["pyyaml", "tomli"] if ctx.file.bentofile else [])

    def selecting():
        args = arguments(ctx)
        add_selection(ctx, args, options)
        args.add_all(sources, map_each = describe_source)
        args.add_all(ctx.files.data, map_each = describe_data)
        return args

    part = ctx.actions.declare_file(ctx.label.name + ".data.part")
    manifest = ctx.actions.declare_file(ctx.label.name + ".data.json")
    args = selecting()
    args.add_all(["--part", part, "--manifest", manifest])
    add_secrets(ctx, args)
    run_helper(
        ctx,
        mnemonic = "BentoData",
        progress_message = "Packing data of %{label}",
        subcommand = subcommand("data_part", args, inputs = inputs, packages = packages + DEFLATE),
        outputs = [part, manifest],
    )
    layers = {}
    for compression in COMPRESSIONS:
        args = selecting()
        args.add_all(["--directory", BENTO, "--user", USER])
        layers[compression] = write_layer(
            ctx,
            compression = compression,
            name = ctx.label.name + ".data",
            progress_message = "Writing data layer of %{label}",
            subcommand = subcommand("data_layer", args, inputs = inputs, packages = packages),
        )
    return struct(layers = layers, manifest = manifest, part = part)
