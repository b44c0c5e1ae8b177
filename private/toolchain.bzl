"""Defines the rules for toolchains of rules_bento."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("//private:helper.bzl", "COMPILER_FLAGS", "COMPILER_VARIABLES", "arguments")
load("//private:launcher.bzl", "runfile_path")
load("//private:providers.bzl", "BentoCompilersInfo", "BentoHelperPackagesInfo", "BentoPythonInfo")
load("//private:versions.bzl", "PLATFORM_CONSTRAINTS")
load("//private:wheels_flag.bzl", "KEEPS_PYTHON", "ON_HOST", "common_cfg", "needs_packages", "packages_cfg")
load("//rules:providers.bzl", "BentoRequirementInfo")

def _bento_toolchain_impl(ctx):
    packages = ctx.attr.packages[BentoHelperPackagesInfo].packages
    python, complete = ctx.attr.python[BentoPythonInfo], ctx.attr.complete_python[BentoPythonInfo]
    return [platform_common.ToolchainInfo(
        # Runs third-party code, which might import any module of the standard library.
        complete = struct(python = complete, tools = depset([ctx.file.helper], transitive = [complete.files])),
        helper = ctx.file.helper,
        packages = packages,
        persistent_workers = ctx.attr._persistent_workers[BuildSettingInfo].value,
        python = python,

        # All actions share these depsets. `tools` contains inputs of every action, and `tools_of_packages` the files
        # of each package.
        tools = depset([ctx.file.helper], transitive = [python.files]),
        tools_of_packages = {
            name: depset(transitive = [module.files for module in modules])
            for name, modules in packages.items()
        },
        uv = ctx.file.uv,
    )]

# The interpreter that compiles the toolchain's helper to bytecode. The bytecode runs on all platforms.
bento_interpreter = rule(
    implementation = lambda ctx: [platform_common.ToolchainInfo(python = ctx.attr.python[BentoPythonInfo])],
    attrs = {
        "python": attr.label(cfg = "exec", mandatory = True, providers = [BentoPythonInfo]),
    },
)

# The toolchain that actions of rules_bento use on the execution platform: the helper (the program that actions run),
# its packages, and uv. `python` has only the standard library modules that the helper imports.
bento_toolchain = rule(
    implementation = _bento_toolchain_impl,
    attrs = {
        "complete_python": attr.label(cfg = "exec", mandatory = True, providers = [BentoPythonInfo]),
        "helper": attr.label(allow_single_file = True, cfg = "exec", mandatory = True),
        "packages": attr.label(cfg = "exec", mandatory = True, providers = [BentoHelperPackagesInfo]),
        "python": attr.label(cfg = "exec", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, cfg = "exec", mandatory = True),
        "_persistent_workers": attr.label(default = "//rules:persistent_workers", providers = [BuildSettingInfo]),
    },
)

# Third-party packages that the helper and the `bento` command import.
HELPER_PACKAGES = [
    "blake3",
    "click",
    "jinja2",
    "packaging",
    "pathspec",
    "pyyaml",
    "tomli",
    "tomlkit",
    "urllib3",
    "zlib_ng",
    "zstandard",
]

def _bento_runtime_impl(ctx, more_packages = []):
    command = struct(files = depset([ctx.file.command]), imports = (runfile_path(ctx, ctx.file.command),))
    packages = ctx.attr.packages[BentoHelperPackagesInfo].packages
    return [platform_common.ToolchainInfo(
        command_packages = [command] + [
            module
            for name in HELPER_PACKAGES
            for module in packages[name]
        ] + more_packages,
        helper = ctx.file.helper,
        packages = packages,
        python = ctx.attr.python[BentoPythonInfo],
        uv = ctx.file.uv,
    )]

def _runtime_attributes(packages_cfg):
    """Returns the attributes of rules with `_bento_runtime_impl`.

    `command` has the modules of the `bento` command. It and `helper` are bytecode for all platforms.
    """
    return {
        "command": attr.label(allow_single_file = True, cfg = "exec", mandatory = True),
        "helper": attr.label(allow_single_file = True, cfg = "exec", mandatory = True),
        "packages": attr.label(cfg = packages_cfg, mandatory = True, providers = [BentoHelperPackagesInfo]),
        "python": attr.label(mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, mandatory = True),
    }

# The toolchain for `bazel run` and `bazel test`: the helper, its packages, the interpreter, uv, and the `bento`
# command.
bento_runtime = rule(
    implementation = _bento_runtime_impl,
    attrs = _runtime_attributes("target"),
)

_RUNTIME_TYPE = "//toolchains:runtime_type"

# Group of rules whose target platform is the host platform. The execution platform is the same because of
# `packing_type`.
_HOST = "host"
_IMPORT_TYPE = Label("//toolchains:import_type")
_PACKING_TYPE = Label("//toolchains:packing_type")

def _bento_current_runtime_impl(ctx):
    return [ctx.toolchains[_RUNTIME_TYPE]]

# The toolchain that is selected for the target platform, so that attributes can refer to it (see `bento_runtime`).
bento_current_runtime = rule(
    implementation = _bento_current_runtime_impl,
    toolchains = [_RUNTIME_TYPE],
)

def _bento_host_runtime_impl(ctx):
    # The list is short. Only one target has `transports`.
    return _bento_runtime_impl(
        ctx,
        depset(transitive = [target[BentoRequirementInfo].modules for target in ctx.attr.transports]).to_list(),
    )

# The same for the host platform, for `bazel run` of programs that run in the Python version of a Bento.
bento_host_python_runtime = rule(
    implementation = _bento_current_runtime_impl,
    attrs = KEEPS_PYTHON,
    cfg = common_cfg,
    toolchains = [_RUNTIME_TYPE],
)

# The tools of `bazel run` for the host platform, and packages for additional transports of the `bento` command.
bento_host_runtime = rule(
    implementation = _bento_host_runtime_impl,
    # The packages are the packages of actions, so that Bazel packs them once.
    attrs = _runtime_attributes(config.exec(_HOST)) | ON_HOST | {
        "transports": attr.label_list(providers = [BentoRequirementInfo]),
    },
    cfg = common_cfg,
    exec_groups = {_HOST: exec_group(toolchains = [_PACKING_TYPE])},
)

# The interpreter for the host platform in the Python version of the configuration. Without the other tools of a
# runtime, which Bazel would analyze in one more configuration.
bento_host_python = rule(
    implementation = lambda ctx: [ctx.exec_groups[_HOST].toolchains[_IMPORT_TYPE].complete.python],
    attrs = KEEPS_PYTHON,
    cfg = common_cfg,
    exec_groups = {_HOST: exec_group(toolchains = [_IMPORT_TYPE, _PACKING_TYPE])},
    provides = [BentoPythonInfo],
)

_INTERPRETER_TYPE = "//toolchains:interpreter_type"

# The interpreter of the helper, whose bytecode and packages are for the interpreter's version.
_HELPER_PYTHON = {
    "python": attr.label(cfg = "exec", providers = [BentoPythonInfo]),
}

def _helper_python(ctx):
    return ctx.attr.python[BentoPythonInfo] if ctx.attr.python else ctx.toolchains[_INTERPRETER_TYPE].python

def _bento_helper_impl(ctx):
    python = _helper_python(ctx)
    program = ctx.actions.declare_file(ctx.label.name + ".zip")
    args = ctx.actions.args()
    args.add_all(COMPILER_FLAGS)
    args.add_all([ctx.file._compiler, program, ctx.file.main])
    args.add_all(ctx.files.srcs)
    ctx.actions.run(
        mnemonic = "BentoCompile",
        progress_message = "Compiling the helper of rules_bento",
        executable = python.interpreter or python.interpreter_path,
        arguments = [args],
        inputs = [ctx.file.main] + ctx.files.srcs,
        outputs = [program],
        tools = depset([ctx.file._compiler], transitive = [python.files]),
        env = COMPILER_VARIABLES,
        execution_requirements = {"block-network": "1", "supports-path-mapping": "1"},
        toolchain = _INTERPRETER_TYPE,
    )
    return [DefaultInfo(files = depset([program]))]

# Compiles the helper to a single bytecode file. The helper then starts without compilation, and is only one input of an
# action. It doesn't depend on the platform, unlike its packages, so Bazel can build it for platforms without packages.
bento_helper = rule(
    implementation = _bento_helper_impl,

    # All targets use a single configuration. Otherwise, Bazel would compile the helper again for each set of flags.
    cfg = common_cfg,
    attrs = {
        "main": attr.label(allow_single_file = [".py"], default = "//py:main.py"),
        "srcs": attr.label_list(allow_files = [".j2", ".py"], default = ["//py:sources"]),
        "_compiler": attr.label(allow_single_file = True, default = "//py:compile.py"),
    } | _HELPER_PYTHON,
    toolchains = [_INTERPRETER_TYPE],
)

def _declare(ctx, args, wheel):
    """Declares the zip of a wheel's modules and, for a platform wheel, the directory of its machine code.

    Adds both to `args`.
    """
    name = "{}/{}".format(ctx.label.name, wheel.distribution)
    packed = ctx.actions.declare_file(name + ".zip")
    directory = [] if wheel.file.basename.endswith("-any.whl") else [ctx.actions.declare_directory(name)]
    args.add_all(["--packed", wheel.file, packed] + (directory or [""]), expand_directories = False)
    return struct(
        all_files = [packed] + directory,
        files = depset([packed] + directory),
        import_roots = (packed,),
        imports = (runfile_path(ctx, packed),),
    )

def _pack(ctx, wheels):
    """Declares the action that packs wheels.

    Returns the packed wheels by distribution name (see BentoHelperPackagesInfo).
    """
    python = _helper_python(ctx)
    args = arguments(ctx)
    packed = {wheel.distribution: _declare(ctx, args, wheel) for wheel in wheels}
    start = ctx.actions.args()
    start.add_all(COMPILER_FLAGS)
    start.add_all([ctx.file.helper, "pack_packages"])
    ctx.actions.run(
        mnemonic = "BentoHelperPackages",
        progress_message = "Packing packages of the helper of rules_bento",
        executable = python.interpreter or python.interpreter_path,
        arguments = [start, args],
        inputs = [wheel.file for wheel in wheels],
        outputs = [file for one in packed.values() for file in one.all_files],
        tools = depset([ctx.file.helper], transitive = [python.files]),
        env = COMPILER_VARIABLES,
        execution_requirements = {"block-network": "1", "supports-path-mapping": "1"},
        toolchain = _INTERPRETER_TYPE,
    )
    return packed

def _bento_helper_packages_impl(ctx):
    # The lists are short: a few wheels for each package.
    wheels = {target.label.name: target[BentoRequirementInfo].wheels.to_list() for target in ctx.attr.packages}
    packed = _pack(ctx, {wheel.distribution: wheel for closure in wheels.values() for wheel in closure}.values())
    return BentoHelperPackagesInfo(
        packages = {name: [packed[wheel.distribution] for wheel in closure] for name, closure in wheels.items()},
    )

# Packs the third-party packages that the helper imports, for one platform.
bento_helper_packages = rule(
    implementation = _bento_helper_packages_impl,
    cfg = common_cfg,
    attrs = {
        "helper": attr.label(allow_single_file = True, cfg = "exec", mandatory = True),
        "packages": attr.label_list(cfg = packages_cfg, mandatory = True, providers = [BentoRequirementInfo]),
    } | _HELPER_PYTHON | needs_packages("files"),
    provides = [BentoHelperPackagesInfo],
    toolchains = [_INTERPRETER_TYPE],
)

# The interpreter that compiles modules to bytecode. Default: the toolchain's interpreter, if it has the version of the
# modules.
bento_compilers = rule(
    implementation = lambda ctx: BentoCompilersInfo(
        pythons = tuple([target[BentoPythonInfo] for target in ctx.attr.pythons]),
    ),
    cfg = common_cfg,
    attrs = ON_HOST | {"pythons": attr.label_list(cfg = "exec", providers = [BentoPythonInfo])},
    provides = [BentoCompilersInfo],
    # Not the toolchain of actions, whose packages are wheels.
    toolchains = [_INTERPRETER_TYPE],
)

def python_toolchains(name, *, hub, python):
    """Declares the toolchains of a further Python version, for tests, programs, and imports of services.

    A configuration of this version selects them.

    Args:
      name: the version, `X_Y`.
      hub: name of the package hub with the helper's packages for the version.
      python: label of the interpreter.
    """
    helper, command, packages = ["{}_{}".format(part, name) for part in ("helper", "command", "packages")]
    bento_helper(name = helper, python = python)
    bento_helper(name = command, srcs = [Label("//py/bento_cli:sources")], python = python)
    bento_helper_packages(
        name = packages,
        helper = helper,
        packages = ["@{}//{}".format(hub, package) for package in HELPER_PACKAGES],
        python = python,
    )
    uv = Label("@bento_uv//:program")
    bento_toolchain(
        name = "of_import_" + name,
        complete_python = python,
        helper = helper,
        packages = packages,
        python = python,
        uv = uv,
    )
    bento_runtime(
        name = "of_runtime_" + name,
        command = command,
        helper = helper,
        packages = packages,
        python = python,
        uv = uv,
    )
    for platform, labels in PLATFORM_CONSTRAINTS.items():
        constraints = [Label(label) for label in labels]
        for kind in ("import", "runtime"):
            native.toolchain(
                name = "{}_{}_{}".format(platform, kind, name),
                exec_compatible_with = constraints if kind == "import" else [],
                target_compatible_with = constraints if kind == "runtime" else [],
                target_settings = [Label("//toolchains/platforms:python_" + name)],
                toolchain = "of_{}_{}".format(kind, name),
                toolchain_type = Label("//toolchains:{}_type".format(kind)),
            )
