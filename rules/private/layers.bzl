"""Actions that write layers."""

load("//rules/providers:layer.bzl", "BentoLayerInfo")
load(":helper.bzl", "arguments", "run_helper")

# Where a Bento lies in an image, as in BentoML's own.
BENTO = "/home/bentoml/bento"
HOME = "/home/bentoml"
USER = "1034"

# Where the weights of models lie that are layers of their own.
WEIGHTS = HOME + "/weights"

# Where images of models are mounted, each below its name.
MOUNTED = "/mnt/models"

COMPRESSIONS = ["zstd", "gzip"]

# How an image's Python knows that byte code belongs to its source; the latter two are py_compile's.
BYTECODES = ["none", "checked-hash", "unchecked-hash"]

# Packages that the verbs import, by compression.
_PACKAGES = {"gzip": [], "zstd": ["zstandard"]}

# Those of verbs that read wheels.
INFLATE = ["isal"]

def write_layer(ctx, *, name, verb, args, inputs, compression, progress_message, mnemonic = "BentoLayer", packages = []):
    """Declares a layer and the action that writes it.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: what the outputs' names begin with.
      verb: the verb of the helper.
      args: what `arguments` returned, filled with all but the outputs.
      inputs: depset of what the verb reads.
      compression: one of `COMPRESSIONS`.
      progress_message: what a person reads while it runs.
      mnemonic: `Bento...`.
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
        mnemonic = mnemonic,
        progress_message = progress_message,
        verb = verb,
        args = args,
        inputs = inputs,
        outputs = [blob, description],
        packages = packages + _PACKAGES[compression],
    )
    return BentoLayerInfo(blob = blob, description = description)

def _wheel_arguments(ctx, prefix, python_version):
    args = arguments(ctx)
    args.add_all(["--prefix", prefix])
    args.add_all(["--python-version", python_version])
    args.add_all(["--user", USER])
    return args

def add_wheel(args, wheel):
    """Adds a wheel, and what is known of it before it is read (images/wheels/arguments.py).

    Args:
      args: an Args.
      wheel: the BentoWheelInfo.
    """
    args.add_all(["--wheel", wheel.file])
    if wheel.sha256:
        args.add_all(["--locked", wheel.sha256])
    if wheel.record_errors:
        args.add("--record-errors")

def _name(wheel):
    return "{} {}".format(wheel.distribution, wheel.version)

def write_wheel_layer(ctx, *, wheel, prefix, compression):
    """Declares a layer of one installed wheel.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      wheel: the BentoWheelInfo.
      prefix: where the environment lies in the image.
      compression: one of `COMPRESSIONS`.

    Returns:
      A BentoLayerInfo.
    """
    args = _wheel_arguments(ctx, prefix, wheel.python_version)
    args.add_all(["--name", _name(wheel)])
    add_wheel(args, wheel)
    return write_layer(
        ctx,
        args = args,
        compression = compression,
        inputs = depset([wheel.file]),
        name = wheel.distribution,
        packages = INFLATE,
        progress_message = "Installing {} into a layer".format(_name(wheel)),
        verb = "wheel_layer",
    )

def write_wheel_part(ctx, *, wheel, prefix, compression):
    """Declares what layers of several wheels have of this one.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      wheel: the BentoWheelInfo.
      prefix: where the environment lies in the image.
      compression: one of `COMPRESSIONS`.

    Returns:
      Part and listing, Files.
    """
    part = ctx.actions.declare_file("{}.part.{}".format(wheel.distribution, compression))
    listing = ctx.actions.declare_file("{}.part.{}.json".format(wheel.distribution, compression))
    args = _wheel_arguments(ctx, prefix, wheel.python_version)
    add_wheel(args, wheel)
    args.add_all(["--compression", compression])
    args.add_all(["--output", part])
    args.add_all(["--listing", listing])
    run_helper(
        ctx,
        mnemonic = "BentoLayer",
        progress_message = "Installing {} into a part of layers".format(_name(wheel)),
        verb = "wheel_part",
        args = args,
        inputs = depset([wheel.file]),
        outputs = [part, listing],
        packages = INFLATE + _PACKAGES[compression],
    )
    return part, listing

def write_bytecode_part(ctx, *, wheel, prefix, compression, bytecode, compiler, program):
    """Declares what layers of byte code have of a wheel.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      wheel: the BentoWheelInfo.
      prefix: where the environment lies in the image.
      compression: one of `COMPRESSIONS`.
      bytecode: one of `BYTECODES`, not `none`.
      compiler: the BentoPythonInfo that compiles, of the wheel's version of Python.
      program: what it runs, a File.

    Returns:
      Part and listing, Files.
    """
    part = ctx.actions.declare_file("{}.{}.part.{}".format(wheel.distribution, bytecode, compression))
    listing = ctx.actions.declare_file("{}.{}.part.{}.json".format(wheel.distribution, bytecode, compression))
    args = _wheel_arguments(ctx, prefix, wheel.python_version)
    add_wheel(args, wheel)
    args.add_all(["--bytecode", bytecode])
    args.add_all(["--interpreter", compiler.interpreter or compiler.interpreter_path])
    args.add_all(["--program", program])
    args.add_all(["--compression", compression])
    args.add_all(["--output", part])
    args.add_all(["--listing", listing])
    run_helper(
        ctx,
        mnemonic = "BentoBytecode",
        progress_message = "Compiling the modules of {}".format(_name(wheel)),
        verb = "bytecode_part",
        args = args,
        inputs = depset([wheel.file, program], transitive = [compiler.files]),
        outputs = [part, listing],
        packages = INFLATE + _PACKAGES[compression],
    )
    return part, listing

def write_joined_layer(ctx, *, name, parts, prefix, compression, what = ""):
    """Declares a layer of several wheels.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      name: what the outputs' names begin with.
      parts: list of BentoWheelPartInfo, for one version of Python.
      prefix: where the environment lies in the image.
      compression: one of `COMPRESSIONS`.
      what: what it has of the wheels, where that is not all of them.

    Returns:
      A BentoLayerInfo.
    """
    what += "{} small packages".format(len(parts)) if len(parts) > 1 else _name(parts[0].wheel)
    args = _wheel_arguments(ctx, prefix, parts[0].wheel.python_version)
    args.add_all(["--name", what])
    for part in parts:
        args.add_all(["--part", part.listing, part.part])
    return write_layer(
        ctx,
        args = args,
        compression = compression,
        inputs = depset([file for part in parts for file in (part.listing, part.part)]),
        mnemonic = "BentoLayerJoin",
        name = name,
        packages = INFLATE,
        progress_message = "Joining {} to a layer".format(what),
        verb = "joined_layer",
    )
