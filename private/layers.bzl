"""Declares actions that write image layers."""

load("//rules:providers.bzl", "BentoLayerInfo", "BentoModelInfo")
load(":attributes.bzl", "label_string")
load(":helper.bzl", "DEFLATE", "arguments", "run_helper", "subcommand", "target_arguments")

# Paths and user ID in an image, the same as in BentoML's images.
BENTO = "/home/bentoml/bento"
ENVIRONMENT = "/app/.venv"
HOME = "/home/bentoml"
USER = "1034"

# Directory that contains the model weights in separate layers.
WEIGHTS = HOME + "/weights"

# Parent directory of the mount points of model images. A mount point has the name of the model.
MOUNTED = "/mnt/models"

COMPRESSIONS = ["gzip", "zstd"]

# Invalidation modes of py_compile.
BYTECODES = ["checked-hash", "unchecked-hash"]

# Compression to the third-party packages that the helper needs to compress.
COMPRESSION_PACKAGES = {"gzip": DEFLATE, "zstd": DEFLATE + ["zstandard"]}

# Suffixes of tar files in the attribute `layers` of images.
_TARS = (".tar", ".tar.gz", ".tar.zst", ".tgz", ".tzst")

_MNEMONICS = {"bytecode_layer": "BentoBytecode", "join_layers": "BentoLayerJoin"}

def write_layer(ctx, *, name, compression, subcommand, progress_message, more = struct(outputs = [], wheel = None)):
    """Declares a layer and the action that writes the layer, or its recipe.

    With a recipe, the layer is assembled only if a program or another action reads it.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: prefix of the names of outputs.
      compression: one of `COMPRESSIONS`.
      subcommand: result of `subcommand`, without the flags of outputs, and without packages for the compression.
      progress_message: message that Bazel shows during the action.
      more: struct of `outputs` (list of Files that the subcommand also writes) and `wheel` (File of the wheel for a
        recipe, or None).

    Returns:
      A BentoLayerInfo.
    """
    prefix = "{}.layer.{}".format(name, compression)
    blob, description = ctx.actions.declare_file(prefix), ctx.actions.declare_file(prefix + ".json")
    recipe = ctx.actions.declare_file(prefix + ".recipe") if more.wheel else None
    subcommand.args[-1].add_all([
        "--compression",
        compression,
        "--output",
        recipe or blob,
        "--description",
        description,
    ])
    if recipe:
        subcommand.args[-1].add("--recipe")
        _assemble_layer(ctx, blob, description, recipe, more.wheel)
    run_helper(
        ctx,
        mnemonic = _MNEMONICS.get(subcommand.name, "BentoLayer"),
        progress_message = progress_message,
        subcommand = importing(subcommand, COMPRESSION_PACKAGES[compression]),
        outputs = [recipe or blob, description] + more.outputs,
    )
    ztoc = write_ztoc(ctx, blob.basename, compression, [description] + ([recipe, more.wheel] if recipe else [blob]))
    return BentoLayerInfo(blob = blob, description = description, recipe = recipe, wheel = more.wheel, ztoc = ztoc)

def write_ztoc(ctx, name, compression, layer):
    """Declares the zTOC, for SOCI, of a gzip layer: a description, and the layer or its recipe and wheel.

    Returns None for other layers.
    """
    if compression != "gzip":
        return None
    file = ctx.actions.declare_file(name + ".ztoc")
    description = ctx.actions.declare_file(name + ".ztoc.json")
    args = arguments(ctx)
    args.add_all(layer, before_each = "--layer")
    args.add_all(["--output", file, "--description", description])
    run_helper(
        ctx,
        mnemonic = "BentoLayerZtoc",
        progress_message = "Indexing " + name,
        subcommand = subcommand("layer_ztoc", args, inputs = depset(layer), packages = DEFLATE),
        outputs = [file, description],
    )
    return struct(description = description, file = file)

def _assemble_layer(ctx, blob, description, recipe, wheel):
    """Declares the action that assembles a layer.

    Caches don't store the layer, because they contain its recipe and wheel.
    """
    args = arguments(ctx)
    args.add_all(["--description", description, "--output", blob, "--recipe", recipe, "--wheel", wheel])
    run_helper(
        ctx,
        cache_limit = "no-cache",
        mnemonic = "BentoLayerAssemble",
        progress_message = "Assembling layer " + blob.basename,
        subcommand = subcommand("assemble_layer", args, inputs = depset([description, recipe, wheel])),
        outputs = [blob],
    )

def importing(base, packages):
    """Returns a copy of the subcommand `base`, which runs in a worker, with additional packages to import."""
    return subcommand(base.name, base.args, inputs = base.inputs, packages = base.packages + packages)

def wheel_arguments(ctx, wheel):
    """Returns an Args with the flags for the virtual environment and the owner of an installed wheel."""
    args = arguments(ctx)
    args.add_all(["--prefix", ENVIRONMENT, "--python-version", wheel.python_version, "--user", USER])
    return args

def wheel_name(wheel):
    """Returns the name and version of a wheel (BentoWheelInfo) for messages."""
    return "{} {}".format(wheel.distribution, wheel.version)

def write_joined_layer(ctx, *, name, parts, compression, what = ""):
    """Declares a layer of BentoWheelPartInfo for one Python version.

    Returns a BentoLayerInfo. `what` is a prefix of its name in messages.
    """
    what += "{} small packages".format(len(parts)) if len(parts) > 1 else wheel_name(parts[0].wheel)
    args = wheel_arguments(ctx, parts[0].wheel)
    args.add_all(["--name", what])
    for part in parts:
        args.add_all(["--part", part.listing, part.part])
    return write_layer(
        ctx,
        compression = compression,
        name = name,
        progress_message = "Writing layer of {}".format(what),
        subcommand = subcommand(
            "join_layers",
            args,
            inputs = depset([file for part in parts for file in (part.listing, part.part)]),
        ),
    )

def _tar_layer(ctx, file, number):
    """Declares the layer with the contents of a tar file. Returns a BentoLayerInfo."""
    if not file.basename.endswith(_TARS):
        fail(
            ("{}: layers contains {}, which isn't a tar file ({}). Write a tar file, for example with pkg_tar of " +
             "rules_pkg.").format(label_string(ctx.label), file.short_path, ", ".join(_TARS)),
        )
    args = target_arguments(ctx)
    args.add_all(["--tar", file, file.short_path])
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = "{}.added-{}".format(ctx.label.name, number),
        progress_message = "Writing layer of {}".format(file.short_path),
        # The tar file can be compressed with zstd, independent of the attribute `compression`.
        subcommand = subcommand("tar_layer", args, inputs = depset([file]), packages = ["zstandard"]),
    )

def added_layers(ctx):
    """Returns the BentoLayerInfo of the attribute `layers` of images. Declares a layer for each tar file."""
    layers = []
    for target in ctx.attr.layers:
        if BentoLayerInfo in target:
            layers.append(target[BentoLayerInfo])
        elif BentoModelInfo not in target:  # the image adds the layers of models, which need no scan
            # The list is short: a target has one tar file, or a few tar files.
            layers += [
                _tar_layer(ctx, file, len(layers) + number)
                for number, file in enumerate(target[DefaultInfo].files.to_list())
            ]
    return layers
