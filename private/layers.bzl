"""Declares actions that write image layers."""

load("//rules:providers.bzl", "BentoLayerInfo", "BentoModelInfo")
load(":attributes.bzl", "label_string")
load(":helper.bzl", "DEFLATE", "extended", "run_helper", "run_leaf", "subcommand")

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

def write_layer(ctx, *, name, compression, subcommand, progress_message, wheel = None):
    """Declares a layer and the action that writes the layer, or its recipe.

    With a recipe, the layer is assembled only if a program or another action reads it.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: prefix of the names of outputs.
      compression: one of `COMPRESSIONS`.
      subcommand: result of `subcommand`, without the layer among its outputs, and without packages for the compression.
      progress_message: message that Bazel shows during the action.
      wheel: File of the wheel for a recipe, or None.

    Returns:
      A BentoLayerInfo.
    """
    prefix = "{}.layer.{}".format(name, compression)
    blob, description = ctx.actions.declare_file(prefix), ctx.actions.declare_file(prefix + ".json")
    recipe = ctx.actions.declare_file(prefix + ".recipe") if wheel else None
    if recipe:
        _assemble_layer(ctx, blob, description, recipe, wheel)
    run_helper(
        ctx,
        mnemonic = _MNEMONICS.get(subcommand.name, "BentoLayer"),
        progress_message = progress_message,
        subcommand = extended(
            subcommand,
            {"--compression": compression, "--recipe": bool(recipe)},
            outputs = {"--output": recipe or blob, "--description": description},
            packages = COMPRESSION_PACKAGES[compression],
        ),
    )
    ztoc = write_ztoc(ctx, blob.basename, compression, [description] + ([recipe, wheel] if recipe else [blob]))
    return BentoLayerInfo(blob = blob, description = description, recipe = recipe, wheel = wheel, ztoc = ztoc)

def write_ztoc(ctx, name, compression, layer):
    """Declares the zTOC, for SOCI, of a gzip layer: a description, and the layer or its recipe and wheel.

    Returns None for other layers.
    """
    if compression != "gzip":
        return None
    file, description = run_leaf(
        ctx,
        "layer_ztoc",
        {"--layer": layer, "--target": None},
        mnemonic = "BentoLayerZtoc",
        outputs = {
            "--output": ctx.actions.declare_file(name + ".ztoc"),
            "--description": ctx.actions.declare_file(name + ".ztoc.json"),
        },
        packages = DEFLATE,
        progress_message = "Indexing " + name,
    )
    return struct(description = description, file = file)

def _assemble_layer(ctx, blob, description, recipe, wheel):
    """Declares the action that assembles a layer.

    Caches don't store the layer, because they contain its recipe and wheel.
    """
    run_leaf(
        ctx,
        "assemble_layer",
        {"--description": description, "--recipe": recipe, "--target": None, "--wheel": wheel},
        cache_limit = "no-cache",
        mnemonic = "BentoLayerAssemble",
        outputs = {"--output": blob},
        progress_message = "Assembling layer " + blob.basename,
    )

def environment_flags(python_version):
    """Returns the flags for the virtual environment of a Python version (`X.Y`), for layers that targets share."""
    return {"--prefix": ENVIRONMENT, "--python-version": python_version, "--target": None, "--user": USER}

def wheel_name(wheel):
    """Returns the name and version of a wheel (BentoWheelInfo) for messages."""
    return "{} {}".format(wheel.distribution, wheel.version)

def write_joined_layer(ctx, *, name, parts, compression, what = ""):
    """Declares a layer of BentoWheelPartInfo for one Python version.

    Returns a BentoLayerInfo. `what` is a prefix of its name in messages.
    """
    what += "{} small packages".format(len(parts)) if len(parts) > 1 else wheel_name(parts[0].wheel)
    flags = {"--name": what, "--part": [(part.listing, part.part) for part in parts]}
    return write_layer(
        ctx,
        compression = compression,
        name = name,
        progress_message = "Writing layer of {}".format(what),
        subcommand = subcommand(ctx, "join_layers", environment_flags(parts[0].wheel.python_version) | flags),
    )

def _tar_layer(ctx, file, number):
    """Declares the layer with the contents of a tar file. Returns a BentoLayerInfo."""
    if not file.basename.endswith(_TARS):
        fail(
            ("{}: layers contains {}, which isn't a tar file ({}). Write a tar file, for example with pkg_tar of " +
             "rules_pkg.").format(label_string(ctx.label), file.short_path, ", ".join(_TARS)),
        )
    return write_layer(
        ctx,
        compression = ctx.attr.compression,
        name = "{}.added-{}".format(ctx.label.name, number),
        progress_message = "Writing layer of {}".format(file.short_path),
        # The tar file can be compressed with zstd, independent of the attribute `compression`.
        subcommand = subcommand(ctx, "tar_layer", {"--tar": (file, file.short_path)}, packages = ["zstandard"]),
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
