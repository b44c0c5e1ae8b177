"""Defines rules for wheels that are built from source, and functions that unpack and describe wheels."""

load("//rules:providers.bzl", "BentoRequirementInfo", "BentoWheelInfo", "BentoWheelModulesInfo")
load(":attributes.bzl", "label_string")
load(
    ":helper.bzl",
    "NATIVE",
    "NATIVE_GROUP",
    "TOOLCHAIN_TYPE",
    "import_roots",
    "run_helper",
    "run_leaf",
    "subcommand",
)
load(":hub_rules.bzl", "WHEEL", "provide_wheel")
load(":launcher.bzl", "runfile_path")
load(":wheels_flag.bzl", "needs_packages", "packages_cfg")

_PLATFORM_TAGS = {
    "darwin_amd64": "macosx_11_0_x86_64",
    "darwin_arm64": "macosx_11_0_arm64",
    "linux_amd64": "linux_x86_64",
    "linux_arm64": "linux_aarch64",
}

def wheel_file_name(distribution, version, *, platform = "", python_version = ""):
    """Returns the file name of a wheel for a platform and a Python version (`X.Y`).

    Without both, the wheel is pure Python.
    """
    python = "cp" + python_version.replace(".", "")
    tags = [python, python, _PLATFORM_TAGS[platform]] if platform and python_version else ["py3", "none", "any"]
    return "-".join([distribution.replace("-", "_").replace(".", "_"), version] + tags) + ".whl"

def _built_wheel_impl(ctx):
    # The action requires names and directories. The list is short, because build requirements are only a few packages.
    modules = depset(transitive = [target[BentoRequirementInfo].modules for target in ctx.attr.requirements]).to_list()

    # With platform tags even for a pure Python wheel, because Bazel requires the name before the build.
    name = wheel_file_name(
        ctx.attr.distribution,
        ctx.attr.version,
        platform = ctx.attr.platform,
        python_version = ctx.attr.python_version,
    )
    [wheel] = run_helper(
        ctx,
        # The build can run the compilers in /usr/bin, which aren't inputs. Machines with different compilers must not
        # share the wheel.
        cache_limit = "no-remote-cache",
        mnemonic = "BentoWheel",
        progress_message = "Building wheel of {}".format(ctx.attr.distribution),
        subcommand = subcommand(
            ctx,
            "build_wheel",
            {
                "--distribution": ctx.attr.distribution,
                "--import-root": import_roots(modules),
                "--platform": ctx.attr.platform,
                "--python-version": ctx.attr.python_version,
                "--source": ctx.file.source,
                "--subfolder": ctx.attr.subfolder,
                "--target": "{}=={} ({})".format(ctx.attr.distribution, ctx.attr.version, label_string(ctx.label)),
                "--version": ctx.attr.version,
            },
            outputs = {"--output": ctx.actions.declare_file(name)},
            packages = ["packaging", "tomli"],
            sandboxed = True,
        ),
    )
    return provide_wheel(ctx, wheel)

# Builds a wheel from source with the package's build system (PEP 517), with locked `requirements` and without network
# access. `subfolder` is relative to the root of the archive `source`, whose `size` estimates the size of the wheel.
# Build requirements provide modules, also if an image requires only the files of wheels. wheel_parts_aspect reads the
# other flags.
built_wheel = rule(
    implementation = _built_wheel_impl,
    cfg = packages_cfg,
    attrs = WHEEL | {
        "platform": attr.string(mandatory = True),
        "requirements": attr.label_list(cfg = config.exec(NATIVE), providers = [BentoRequirementInfo]),
        "size": attr.int(mandatory = True),
        "source": attr.label(allow_single_file = [".tar", ".tar.gz", ".zip"], mandatory = True),
        "subfolder": attr.string(),
    } | needs_packages("auto"),
    exec_groups = NATIVE_GROUP,
    provides = [BentoWheelInfo],
    toolchains = [TOOLCHAIN_TYPE],
)

def _built_wheel_modules_impl(ctx):
    modules = unpacked_wheel(ctx, ctx.attr.wheel[BentoWheelInfo], "site-packages")
    return [modules, DefaultInfo(files = modules.files)]

# Unpacks the modules of a wheel that an action built.
built_wheel_modules = rule(
    implementation = _built_wheel_modules_impl,
    attrs = {"wheel": attr.label(mandatory = True, providers = [BentoWheelInfo])},
    provides = [BentoWheelModulesInfo],
    toolchains = [TOOLCHAIN_TYPE],
)

def unpacked_wheel(ctx, wheel, directory_name):
    """Declares the action that unpacks a wheel (BentoWheelInfo) into a directory. Returns a BentoWheelModulesInfo."""
    [directory] = run_leaf(
        ctx,
        "unpack_wheel",
        {"--target": None, "--wheel": wheel.file},
        mnemonic = "BentoWheelModules",
        outputs = {"--output": ctx.actions.declare_directory(directory_name)},
        progress_message = "Unpacking wheel of {}".format(wheel.distribution),
    )
    return BentoWheelModulesInfo(
        distribution = wheel.distribution,
        files = depset([directory]),
        import_roots = (directory,),
        imports = (runfile_path(ctx, directory),),
        version = wheel.version,
        wheel = wheel.file,
    )

def describe_wheel(ctx, wheel):
    """Declares the action that writes the lock entry of a wheel (BentoWheelInfo) from its metadata.

    Returns the File.
    """
    return run_leaf(
        ctx,
        "describe_wheel",
        {"--wheel": wheel.file},
        mnemonic = "BentoWheelMetadata",
        outputs = {"--output": ".locked.json"},
        progress_message = "Reading metadata of {}".format(wheel.distribution),
    )[0]
