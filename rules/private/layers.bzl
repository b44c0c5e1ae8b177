"""Actions that write layers."""

load("//rules:providers.bzl", "BentoLayerInfo")
load(":helper.bzl", "arguments", "run_helper", "subcommand")

# Paths in an image, as in BentoML's images.
BENTO = "/home/bentoml/bento"
HOME = "/home/bentoml"
USER = "1034"

# Directory of model weights in separate layers.
WEIGHTS = HOME + "/weights"

# Mount point of model images, each in a directory with its name.
MOUNTED = "/mnt/models"

COMPRESSIONS = ["zstd", "gzip", "estargz", "zstd:chunked"]

# No bytecode, or the invalidation mode of py_compile.
BYTECODES = ["none", "checked-hash", "unchecked-hash"]

# Compression to its third-party packages.
COMPRESSION_PACKAGES = {"estargz": [], "gzip": [], "zstd": ["zstandard"], "zstd:chunked": ["fastcrc", "zstandard"]}

# Third-party packages to read wheels or layers of wheels.
INFLATE = ["isal"]

def extension(compression):
    """Returns the file suffix for a compression, without a colon, because labels use colons."""
    return compression.replace(":", "-")

def write_layer(ctx, *, name, compression, subcommand, progress_message, more_outputs = []):
    """Declares a layer and the action that writes it.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: prefix of the outputs' names.
      compression: one of `COMPRESSIONS`.
      subcommand: result of `subcommand`, without outputs and the package of the compression.
      progress_message: message during the action.
      more_outputs: list of Files that the subcommand writes in addition to the layer.

    Returns:
      A BentoLayerInfo.
    """
    blob = ctx.actions.declare_file("{}.layer.{}".format(name, extension(compression)))
    description = ctx.actions.declare_file("{}.layer.{}.json".format(name, extension(compression)))
    args = subcommand.args[-1]
    args.add_all(["--compression", compression, "--output", blob, "--description", description])
    run_helper(
        ctx,
        mnemonic = {"join_layers": "BentoLayerJoin", "prefetch_layer": "BentoLayerPrefetch"}.get(subcommand.name, "BentoLayer"),
        progress_message = progress_message,
        subcommand = _importing(subcommand, COMPRESSION_PACKAGES[compression]),
        outputs = [blob, description] + more_outputs,
    )
    return BentoLayerInfo(blob = blob, description = description)

def _importing(base, packages):
    """Returns the subcommand with more packages."""
    return subcommand(base.name, base.args, inputs = base.inputs, packages = base.packages + packages)

def wheel_arguments(ctx, settings, wheel):
    """Returns the arguments of a subcommand for wheels: the settings of their environment."""
    args = arguments(ctx)
    args.add_all(["--prefix", settings.prefix, "--python-version", wheel.python_version, "--user", USER])
    return args

def wheel_name(wheel):
    """Returns the name and version of a wheel, for messages."""
    return "{} {}".format(wheel.distribution, wheel.version)

def write_joined_layer(ctx, *, name, parts, settings, what = ""):
    """Declares a layer of several wheels.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      name: prefix of the outputs' names.
      parts: list of BentoWheelPartInfo, for one Python version.
      settings: struct of `prefix`, the environment's path in the image, and `compression`, one of `COMPRESSIONS`.
      what: kind of contents, for names and messages.

    Returns:
      A BentoLayerInfo.
    """
    what += "{} small packages".format(len(parts)) if len(parts) > 1 else wheel_name(parts[0].wheel)
    args = wheel_arguments(ctx, settings, parts[0].wheel)
    args.add_all(["--name", what])
    for part in parts:
        args.add_all(["--part", part.listing, part.part])
    return write_layer(
        ctx,
        compression = settings.compression,
        name = name,
        progress_message = "Writing layer of {}".format(what),
        subcommand = subcommand(
            "join_layers",
            args,
            inputs = depset([file for part in parts for file in (part.listing, part.part)]),
            packages = INFLATE,
        ),
    )

def write_prefetch_layer(ctx, *, name, layer, trace):
    """Declares a copy of a layer in which the files of a startup trace come first; returns a BentoLayerInfo."""
    args = arguments(ctx)
    args.add_all(["--layer", layer.description, layer.blob, "--startup-trace", trace])
    return write_layer(
        ctx,
        compression = "estargz",
        name = name,
        progress_message = "Reordering files of " + layer.blob.basename,
        subcommand = subcommand("prefetch_layer", args, inputs = depset([layer.description, layer.blob, trace]), packages = INFLATE),
    )
