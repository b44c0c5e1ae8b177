"""Defines wheel_parts_aspect, which declares the layers and layer parts of wheels that all images share."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//rules:providers.bzl", "BentoWheelInfo")
load(":attributes.bzl", "json_strings", "label_string")
load(":helper.bzl", "DEFLATE", "TOOLCHAIN_TYPE", "run_leaf", "subcommand", "with_inputs")
load(
    ":layers.bzl",
    "BYTECODES",
    "COMPRESSIONS",
    "COMPRESSION_PACKAGES",
    "environment_flags",
    "wheel_name",
    "write_layer",
)
load(":providers.bzl", "BentoCompilersInfo", "BentoInstalledWheelInfo", "BentoWheelPartInfo", "BentoWheelPartsInfo")
load(":sources_aspect.bzl", "SOURCE_EDGES", "edges_in")
load(":wheel_groups.bzl", "ALONE", "RECIPE")

_EDGES = SOURCE_EDGES + ["requirements", "target", "wheels"]

def _wheel_packages(wheel):
    """Returns the third-party packages that the helper imports to select files of a wheel."""
    return ["pathspec"] if wheel.exclude or wheel.exclude_preset else []

def _wheel_flags(wheel):
    """Returns the flags for a BentoWheelInfo, which images/layers/description.py reads."""
    return {
        "--allow-record-mismatch": wheel.allow_record_mismatch,
        "--exclude": json_strings(wheel.exclude),
        "--exclude-preset": json_strings(wheel.exclude_preset),
        "--locked": wheel.sha256 or None,
        "--target": None,  # the outputs are the same for all targets
        "--wheel": wheel.file,
    }

def _write_layer(ctx, *, wheel, settings):
    """Declares a layer with an installed wheel.

    Returns a BentoLayerInfo, and a File that lists the shared libraries.
    """
    libraries = ctx.actions.declare_file("{}.layer.{}.libraries.json".format(wheel.distribution, settings.compression))
    has_recipe = settings.recipes and settings.compression == "gzip" and wheel.size >= RECIPE
    layer = write_layer(
        ctx,
        compression = settings.compression,
        name = wheel.distribution,
        progress_message = "Writing layer of {}".format(wheel_name(wheel)),
        subcommand = subcommand(
            ctx,
            "wheel_layer",
            environment_flags(wheel.python_version) | _wheel_flags(wheel) | {"--name": wheel_name(wheel)},
            outputs = {"--libraries": libraries},
            packages = _wheel_packages(wheel),
        ),
        wheel = wheel.file if has_recipe else None,
    )
    return layer, libraries

def _write_part(ctx, *, wheel, settings):
    """Declares the layer part of a wheel.

    Returns:
      Three Files: the part, its listing, and the list of shared libraries.
    """
    name = "{}.part.{}".format(wheel.distribution, settings.compression)
    return run_leaf(
        ctx,
        "wheel_part",
        environment_flags(wheel.python_version) | _wheel_flags(wheel) | {"--compression": settings.compression},
        mnemonic = "BentoLayer",
        outputs = {
            flag: ctx.actions.declare_file(name + suffix)
            for flag, suffix in {"--output": "", "--listing": ".json", "--libraries": ".libraries.json"}.items()
        },
        packages = _wheel_packages(wheel) + COMPRESSION_PACKAGES[settings.compression],
        progress_message = "Writing layer part of {}".format(wheel_name(wheel)),
    )

def _compiler_flags(ctx, wheel, compiler, mode):
    """Returns the flags of subcommands that compile a wheel to bytecode."""
    return environment_flags(wheel.python_version) | _wheel_flags(wheel) | {
        "--bytecode": mode,
        "--interpreter": with_inputs(compiler.interpreter or compiler.interpreter_path, compiler.files),
        "--program": ctx.file._bytecode_program,
    }

def _bytecode(ctx, *, wheel, settings, compiler, mode):
    """Declares the layer part of a wheel's bytecode, and the layer of a large wheel. Returns a BentoWheelPartInfo."""
    name = "{}.{}".format(wheel.distribution, mode)
    output = "{}.part.{}".format(name, settings.compression)
    flags = _compiler_flags(ctx, wheel, compiler, mode)
    message = "Compiling bytecode of {}".format(wheel_name(wheel))
    part, listing = run_leaf(
        ctx,
        "bytecode_part",
        flags | {"--compression": settings.compression},
        mnemonic = "BentoBytecode",
        outputs = {
            "--output": ctx.actions.declare_file(output),
            "--listing": ctx.actions.declare_file(output + ".json"),
        },
        packages = _wheel_packages(wheel) + COMPRESSION_PACKAGES[settings.compression],
        progress_message = message,
    )
    layer = None
    if wheel.size >= ALONE:
        layer = write_layer(
            ctx,
            compression = settings.compression,
            name = name,
            progress_message = message,
            subcommand = subcommand(
                ctx,
                "bytecode_layer",
                flags | {"--name": "bytecode of " + wheel_name(wheel)},
                packages = _wheel_packages(wheel),
            ),
        )
    return BentoWheelPartInfo(layer = layer, listing = listing, part = part, wheel = wheel)

def _write_list(ctx, wheel, name, *, suffix, mnemonic, verb):
    """Declares a list of properties of a wheel, and returns its File.

    The action, which runs the subcommand `name`, builds no layer, so checks can run before layers are built.
    """
    return run_leaf(
        ctx,
        name,
        _wheel_flags(wheel),
        mnemonic = mnemonic,
        outputs = {"--output": ctx.actions.declare_file("{}.{}.json".format(wheel.distribution, suffix))},
        packages = DEFLATE + _wheel_packages(wheel),
        progress_message = "{} of {}".format(verb, wheel_name(wheel)),
    )[0]

def _compiler(ctx, wheel):
    """Returns an interpreter of the wheel's Python version: a declared compiler, or the toolchain's interpreter.

    None if neither matches.
    """

    # A locked wheel is for the version of its package hub. Others are for the version of the configuration.
    compilers = getattr(ctx.rule.attr, "compilers", None) or ctx.attr._compilers
    for python in compilers[BentoCompilersInfo].pythons + (ctx.toolchains[TOOLCHAIN_TYPE].python,):
        if (python.version + ".").startswith(wheel.python_version + "."):
            return python
    return None

def _files(ctx, wheel, settings):
    is_large = wheel.size >= ALONE
    part, listing, part_libraries = _write_part(ctx, wheel = wheel, settings = settings)

    # A small wheel is never a separate layer. A large wheel can be, depending on the other wheels of an image.
    layer, layer_libraries = _write_layer(ctx, wheel = wheel, settings = settings) if is_large else (None, None)

    # Wheels for all platforms rarely contain machine code, so a separate action for the list would take longer than
    # building the part.
    is_scanned = not is_large and wheel.file.basename.endswith("-any.whl")
    compiler = _compiler(ctx, wheel)
    return BentoWheelPartInfo(
        # Only images that require a part or layer build it.
        bytecode = tuple([
            _bytecode(ctx, compiler = compiler, mode = mode, settings = settings, wheel = wheel)
            for mode in BYTECODES
            if compiler
        ]),
        compiler = compiler,
        excluded = _write_list(
            ctx,
            wheel,
            "wheel_excluded",
            mnemonic = "BentoExcludedFiles",
            suffix = "excluded",
            verb = "Listing excluded files",
        ) if wheel.exclude or wheel.exclude_preset else None,
        layer = layer,
        layer_libraries = layer_libraries,
        libraries = part_libraries if is_scanned else _write_list(
            ctx,
            wheel,
            "wheel_libraries",
            mnemonic = "BentoScanLibraries",
            suffix = "libraries",
            verb = "Scanning shared libraries",
        ),
        listing = listing,
        part = part,
        part_libraries = part_libraries,
        wheel = wheel,
    )

def _wheel_parts_aspect_impl(target, ctx):
    # The side `metadata` of a split attribute. Images read the other side. Not only `files`, because a wheel that is
    # built from source is in the mode of its build requirements.
    if ctx.attr._wheels[BuildSettingInfo].value in ("import", "metadata"):
        return [BentoWheelPartsInfo(parts = depset())]
    below = [edge[BentoWheelPartsInfo].parts for edge in edges_in(target, ctx, _EDGES) if BentoWheelPartsInfo in edge]
    wheel = target[BentoWheelInfo] if BentoWheelInfo in target else None
    if BentoInstalledWheelInfo in target and target[BentoInstalledWheelInfo].wheel:
        installed = target[BentoInstalledWheelInfo].wheel

        # Without a version, no image can use the package.
        wheel = installed if installed.python_version else None
    if not wheel:
        return [BentoWheelPartsInfo(parts = depset(transitive = below))]
    if not wheel.python_version:
        fail(("{}: the Python version for {} is unknown, because no dependency sets a version. Set python_version " +
              "(for example, \"3.12\") on the bento_package or python_image target.").format(
            label_string(target.label),
            wheel.distribution,
        ))
    settings = struct(
        compression = ctx.attr.compression,
        recipes = ctx.attr._wheel_layers[BuildSettingInfo].value == "recipes",
    )
    return [BentoWheelPartsInfo(parts = depset([_files(ctx, wheel, settings)], transitive = below))]

# Writes a layer or a layer part for each wheel, and parts for its bytecode. All images share the results.
wheel_parts_aspect = aspect(
    implementation = _wheel_parts_aspect_impl,
    attr_aspects = ["*"],
    attrs = {
        "compression": attr.string(values = COMPRESSIONS),
        "_bytecode_program": attr.label(
            allow_single_file = True,
            default = "//py:rules_bento/images/wheels/bytecode_program.py",
        ),
        "_compilers": attr.label(default = "//toolchains:compilers", providers = [BentoCompilersInfo]),
        "_wheel_layers": attr.label(default = "//rules:wheel_layers", providers = [BuildSettingInfo]),
        "_wheels": attr.label(default = "//rules:wheels", providers = [BuildSettingInfo]),
    },
    provides = [BentoWheelPartsInfo],
    required_aspect_providers = [[BentoInstalledWheelInfo]],
    toolchains = [TOOLCHAIN_TYPE],
)
