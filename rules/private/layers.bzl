"""Actions that write layers."""

load("//rules:providers.bzl", "BentoLayerInfo")
load(":attributes.bzl", "add_strings")
load(":helper.bzl", "arguments", "run_helper", "verb")

# Where a Bento lies in an image, as in BentoML's own.
BENTO = "/home/bentoml/bento"
HOME = "/home/bentoml"
USER = "1034"

# Where the weights of models lie that are layers of their own.
WEIGHTS = HOME + "/weights"

# Where images of models are mounted, each below its name.
MOUNTED = "/mnt/models"

COMPRESSIONS = ["zstd", "gzip", "estargz", "zstd:chunked"]

# How Python finds out whether byte code belongs to its source: without byte code, or by a mode of py_compile.
BYTECODES = ["none", "checked-hash", "unchecked-hash"]

# Compression to the packages that verbs import for it.
COMPRESSION_PACKAGES = {"estargz": [], "gzip": [], "zstd": ["zstandard"], "zstd:chunked": ["fastcrc", "zstandard"]}

# Packages of verbs that read wheels or layers of wheels.
_INFLATE = ["isal"]

def extension(compression):
    """Returns the end of the names of files.

    Args:
      compression: one of `COMPRESSIONS`.

    Returns:
      A string without a colon, which tells in labels where names begin.
    """
    return compression.replace(":", "-")

def wheel_packages(wheel):
    """Names the packages that verbs import to read a wheel.

    Args:
      wheel: the BentoWheelInfo.

    Returns:
      A list of names.
    """
    return _INFLATE + (["pathspec"] if wheel.exclude or wheel.exclude_preset else [])

def write_layer(ctx, *, name, compression, verb, progress_message, more_outputs = []):
    """Declares a layer and the action that writes it.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: what the outputs' names begin with.
      compression: one of `COMPRESSIONS`.
      verb: what `verb` returned, the outputs and the package of the compression left out.
      progress_message: what a person reads while it runs.
      more_outputs: list of Files that the verb writes beside the layer.

    Returns:
      A BentoLayerInfo.
    """
    blob = ctx.actions.declare_file("{}.layer.{}".format(name, extension(compression)))
    description = ctx.actions.declare_file("{}.layer.{}.json".format(name, extension(compression)))
    args = verb.args[-1]
    args.add_all(["--compression", compression])
    args.add_all(["--output", blob])
    args.add_all(["--description", description])
    run_helper(
        ctx,
        mnemonic = {"joined_layer": "BentoLayerJoin", "prefetch_layer": "BentoLayerPrefetch"}.get(verb.name, "BentoLayer"),
        progress_message = progress_message,
        verb = _importing(verb, COMPRESSION_PACKAGES[compression]),
        outputs = [blob, description] + more_outputs,
    )
    return BentoLayerInfo(blob = blob, description = description)

def _importing(base, packages):
    """Returns the verb with more packages."""
    return verb(base.name, base.args, inputs = base.inputs, packages = base.packages + packages)

def _wheel_arguments(ctx, settings, wheel):
    args = arguments(ctx)
    args.add_all(["--prefix", settings.prefix])
    args.add_all(["--python-version", wheel.python_version])
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
    if wheel.allow_record_mismatch:
        args.add("--allow-record-mismatch")
    add_strings(args, "--exclude", wheel.exclude)
    add_strings(args, "--exclude-preset", wheel.exclude_preset)

def _name(wheel):
    return "{} {}".format(wheel.distribution, wheel.version)

def write_wheel_layer(ctx, *, wheel, settings):
    """Declares a layer of one installed wheel.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      wheel: the BentoWheelInfo.
      settings: struct of `prefix`, where the environment lies in the image, and `compression`, one of `COMPRESSIONS`.

    Returns:
      A BentoLayerInfo; and what checks of images have to know of the wheel, a File.
    """
    libraries = ctx.actions.declare_file("{}.layer.{}.libraries.json".format(wheel.distribution, extension(settings.compression)))
    args = _wheel_arguments(ctx, settings, wheel)
    args.add_all(["--name", _name(wheel)])
    add_wheel(args, wheel)
    args.add_all(["--libraries", libraries])
    layer = write_layer(
        ctx,
        compression = settings.compression,
        more_outputs = [libraries],
        name = wheel.distribution,
        progress_message = "Installing {} into a layer".format(_name(wheel)),
        verb = verb("wheel_layer", args, inputs = depset([wheel.file]), packages = wheel_packages(wheel)),
    )
    return layer, libraries

def write_wheel_part(ctx, *, wheel, settings):
    """Declares what layers of several wheels have of this one.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      wheel: the BentoWheelInfo.
      settings: struct of `prefix`, where the environment lies in the image, and `compression`, one of `COMPRESSIONS`.

    Returns:
      Part and listing, and what checks of images have to know of the wheel, Files.
    """
    part = ctx.actions.declare_file("{}.part.{}".format(wheel.distribution, extension(settings.compression)))
    listing = ctx.actions.declare_file("{}.part.{}.json".format(wheel.distribution, extension(settings.compression)))
    libraries = ctx.actions.declare_file("{}.part.{}.libraries.json".format(wheel.distribution, extension(settings.compression)))
    args = _wheel_arguments(ctx, settings, wheel)
    add_wheel(args, wheel)
    args.add_all(["--compression", settings.compression])
    args.add_all(["--output", part])
    args.add_all(["--listing", listing])
    args.add_all(["--libraries", libraries])
    run_helper(
        ctx,
        mnemonic = "BentoLayer",
        progress_message = "Installing {} into a part of layers".format(_name(wheel)),
        verb = verb("wheel_part", args, inputs = depset([wheel.file]), packages = wheel_packages(wheel) + COMPRESSION_PACKAGES[settings.compression]),
        outputs = [part, listing, libraries],
    )
    return part, listing, libraries

def write_bytecode_part(ctx, *, wheel, settings, bytecode, compiler, program):
    """Declares what layers of byte code have of a wheel.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      wheel: the BentoWheelInfo.
      settings: struct of `prefix`, where the environment lies in the image, and `compression`, one of `COMPRESSIONS`.
      bytecode: one of `BYTECODES`, not `none`.
      compiler: the BentoPythonInfo that compiles, of the wheel's version of Python.
      program: what it runs, a File.

    Returns:
      Part and listing, Files.
    """
    part = ctx.actions.declare_file("{}.{}.part.{}".format(wheel.distribution, bytecode, extension(settings.compression)))
    listing = ctx.actions.declare_file("{}.{}.part.{}.json".format(wheel.distribution, bytecode, extension(settings.compression)))
    args = _wheel_arguments(ctx, settings, wheel)
    add_wheel(args, wheel)
    args.add_all(["--bytecode", bytecode])
    args.add_all(["--interpreter", compiler.interpreter or compiler.interpreter_path])
    args.add_all(["--program", program])
    args.add_all(["--compression", settings.compression])
    args.add_all(["--output", part])
    args.add_all(["--listing", listing])
    run_helper(
        ctx,
        mnemonic = "BentoBytecode",
        progress_message = "Compiling the modules of {}".format(_name(wheel)),
        verb = verb(
            "bytecode_part",
            args,
            inputs = depset([wheel.file, program], transitive = [compiler.files]),
            packages = wheel_packages(wheel) + COMPRESSION_PACKAGES[settings.compression],
        ),
        outputs = [part, listing],
    )
    return part, listing

def write_joined_layer(ctx, *, name, parts, settings, what = ""):
    """Declares a layer of several wheels.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      name: what the outputs' names begin with.
      parts: list of BentoWheelPartInfo, for one version of Python.
      settings: struct of `prefix`, where the environment lies in the image, and `compression`, one of `COMPRESSIONS`.
      what: what it has of the wheels, where that is not all of them.

    Returns:
      A BentoLayerInfo.
    """
    what += "{} small packages".format(len(parts)) if len(parts) > 1 else _name(parts[0].wheel)
    args = _wheel_arguments(ctx, settings, parts[0].wheel)
    args.add_all(["--name", what])
    for part in parts:
        args.add_all(["--part", part.listing, part.part])
    return write_layer(
        ctx,
        compression = settings.compression,
        name = name,
        progress_message = "Joining {} to a layer".format(what),
        verb = verb(
            "joined_layer",
            args,
            inputs = depset([file for part in parts for file in (part.listing, part.part)]),
            packages = _INFLATE,
        ),
    )

def write_prefetch_layer(ctx, *, name, layer, trace):
    """Declares a layer in which the files that a start reads come first.

    Args:
      ctx: context of a rule with `TOOLCHAIN_TYPE` among its toolchains.
      name: what the outputs' names begin with.
      layer: the BentoLayerInfo of the layer that there is, with its bytes.
      trace: a File with what a start reads.

    Returns:
      A BentoLayerInfo.
    """
    args = arguments(ctx)
    args.add_all(["--layer", layer.description, layer.blob])
    args.add_all(["--startup-trace", trace])
    return write_layer(
        ctx,
        compression = "estargz",
        name = name,
        progress_message = "Putting first what a start reads of " + layer.blob.basename,
        verb = verb("prefetch_layer", args, inputs = depset([layer.description, layer.blob, trace]), packages = _INFLATE),
    )
