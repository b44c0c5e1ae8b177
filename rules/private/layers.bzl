"""Actions that write layers."""

load("//rules:providers.bzl", "BentoLayerInfo")
load(":attributes.bzl", "add_strings")
load(":helper.bzl", "arguments", "run_helper", "verb")

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
_INFLATE = ["isal"]

def extension(compression):
    """Returns the file suffix for a compression, without a colon, because labels use colons."""
    return compression.replace(":", "-")

def wheel_packages(wheel):
    """Returns the third-party packages to read a wheel."""
    return _INFLATE + (["pathspec"] if wheel.exclude or wheel.exclude_preset else [])

def write_layer(ctx, *, name, compression, verb, progress_message, more_outputs = []):
    """Declares a layer and the action that writes it.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      name: prefix of the outputs' names.
      compression: one of `COMPRESSIONS`.
      verb: result of `verb`, without outputs and the package of the compression.
      progress_message: message during the action.
      more_outputs: list of Files that the verb writes in addition to the layer.

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
    """Adds a BentoWheelInfo to the arguments (images/wheels/arguments.py).

    Args:
      args: Args to add the flags to.
      wheel: a BentoWheelInfo.
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
    """Declares a layer of one installed wheel, for a struct `settings` of `prefix` and `compression`; returns BentoLayerInfo and library list.

    Args:
      ctx: context of a rule.
      wheel: a BentoWheelInfo.
      settings: struct with the settings of the layer.

    Returns:
      BentoLayerInfo and library list.
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
        progress_message = "Writing layer of {}".format(_name(wheel)),
        verb = verb("wheel_layer", args, inputs = depset([wheel.file]), packages = wheel_packages(wheel)),
    )
    return layer, libraries

def write_wheel_part(ctx, *, wheel, settings):
    """Declares the part of a wheel in joined layers, for a struct `settings` of `prefix` and `compression`; returns part, listing, library list.

    Args:
      ctx: context of a rule.
      wheel: a BentoWheelInfo.
      settings: struct with the settings of the layer.

    Returns:
      Part, listing, library list.
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
        progress_message = "Writing layer part of {}".format(_name(wheel)),
        verb = verb("wheel_part", args, inputs = depset([wheel.file]), packages = wheel_packages(wheel) + COMPRESSION_PACKAGES[settings.compression]),
        outputs = [part, listing, libraries],
    )
    return part, listing, libraries

def write_bytecode_part(ctx, *, wheel, settings, bytecode, compiler, program):
    """Declares the part of a wheel in joined layers of bytecode.

    Args:
      ctx: context of a rule or aspect with `TOOLCHAIN_TYPE` among its toolchains.
      wheel: the BentoWheelInfo.
      settings: struct of `prefix`, the environment's path in the image, and `compression`, one of `COMPRESSIONS`.
      bytecode: one of `BYTECODES`, not `none`.
      compiler: BentoPythonInfo of the compiling interpreter, with the wheel's Python version.
      program: File, the program that compiles.

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
        progress_message = "Compiling bytecode of {}".format(_name(wheel)),
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
      name: prefix of the outputs' names.
      parts: list of BentoWheelPartInfo, for one Python version.
      settings: struct of `prefix`, the environment's path in the image, and `compression`, one of `COMPRESSIONS`.
      what: kind of contents, for names and messages.

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
        progress_message = "Writing layer of {}".format(what),
        verb = verb(
            "joined_layer",
            args,
            inputs = depset([file for part in parts for file in (part.listing, part.part)]),
            packages = _INFLATE,
        ),
    )

def write_prefetch_layer(ctx, *, name, layer, trace):
    """Declares a copy of a layer in which the files of a startup trace come first; returns a BentoLayerInfo.

    Args:
      ctx: context of a rule.
      name: name of the output.
      layer: a BentoLayerInfo.
      trace: File of a startup trace.

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
        progress_message = "Reordering files of " + layer.blob.basename,
        verb = verb("prefetch_layer", args, inputs = depset([layer.description, layer.blob, trace]), packages = _INFLATE),
    )
