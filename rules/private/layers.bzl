"""Actions that write layers."""

load("//rules/providers:layer.bzl", "BentoLayerInfo")
load(":helper.bzl", "arguments", "run_helper")

# Where a Bento and its environment lie in an image, as in BentoML's own.
ENVIRONMENT = "/app/.venv"
BENTO = "/home/bentoml/bento"
HOME = "/home/bentoml"
USER = "1034"

COMPRESSIONS = ["zstd", "gzip"]

# Packages that the verbs import, by compression.
_PACKAGES = {"gzip": [], "zstd": ["zstandard"]}

def write_layer(ctx, *, name, verb, args, inputs, compression, progress_message, packages = []):
    """Declares a layer and the action that writes it.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: what the outputs' names begin with.
      verb: the verb of the helper.
      args: what `arguments` returned, filled with all but the outputs.
      inputs: depset of what the verb reads.
      compression: one of `COMPRESSIONS`.
      progress_message: what a person reads while it runs.
      packages: names of the packages that the verb imports beside that of the compression.

    Returns:
      A BentoLayerInfo.
    """
    blob = ctx.actions.declare_file("{}.layer.{}".format(name, compression))
    description = ctx.actions.declare_file("{}.layer.{}.json".format(name, compression))
    args.add_all(["--compression", compression])
    args.add_all(["--output", blob])
    args.add_all(["--description", description])
    run_helper(
        ctx,
        mnemonic = "BentoLayer",
        progress_message = progress_message,
        verb = verb,
        args = args,
        inputs = inputs,
        outputs = [blob, description],
        packages = packages + _PACKAGES[compression],
    )
    return BentoLayerInfo(blob = blob, description = description)

def write_wheel_layer(ctx, *, name, wheels, compression, what):
    """Declares a layer of installed wheels.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: what the outputs' names begin with.
      wheels: list of BentoWheelInfo, for one version of Python.
      compression: one of `COMPRESSIONS`.
      what: what the layer holds, for people.

    Returns:
      A BentoLayerInfo.
    """
    files = [wheel.file for wheel in wheels]
    args = arguments(ctx)
    args.add_all(["--name", what])
    args.add_all(["--prefix", ENVIRONMENT])
    args.add_all(["--python-version", wheels[0].python_version])
    args.add_all(["--user", USER])
    args.add_all(files, before_each = "--wheel")
    return write_layer(
        ctx,
        args = args,
        compression = compression,
        inputs = depset(files),
        name = name,
        progress_message = "Installing {} into a layer".format(what),
        verb = "wheel_layer",
    )
