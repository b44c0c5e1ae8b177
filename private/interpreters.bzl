"""Defines rules for the interpreters that run actions."""

load("//private:attributes.bzl", "minor_version")
load("//private:helper.bzl", "COMPILER_FLAGS", "COMPILER_VARIABLES")
load("//private:providers.bzl", "BentoPythonInfo")
load("//private:target.bzl", "target_cfg")
load("//private:wheels_flag.bzl", "common_cfg")

def _bento_python_impl(ctx):
    if bool(ctx.attr.interpreter_path) == bool(ctx.file.interpreter):
        fail(
            ("{}: expected either interpreter or interpreter_path. " +
             "Set exactly one of these attributes.").format(ctx.label),
        )
    files = ctx.files.files + ([ctx.file.interpreter] if ctx.file.interpreter else [])
    return [
        BentoPythonInfo(
            files = depset(files),
            interpreter = ctx.file.interpreter,
            interpreter_path = ctx.attr.interpreter_path,
            version = ctx.attr.version,
        ),
        DefaultInfo(files = depset(files)),
    ]

# A CPython interpreter for actions, of version `X.Y.Z`: either the file `interpreter`, with `files` such as the
# standard library, or a program of the host. Machines can share a cache only if they have the same interpreter at
# `interpreter_path`.
bento_python = rule(
    implementation = _bento_python_impl,
    attrs = {
        "files": attr.label_list(allow_files = True),
        "interpreter": attr.label(allow_single_file = True),
        "interpreter_path": attr.string(),
        "version": attr.string(mandatory = True),
    },
    provides = [BentoPythonInfo],
)

_TYPE = "@rules_python//python:toolchain_type"

def _version(runtime):
    """Returns the version (`X.Y.Z` or `X.Y`) of an interpreter of rules_python, or "" if its toolchain lacks it."""
    info = getattr(runtime, "interpreter_version_info", None)
    numbers = [getattr(info, name, None) for name in ("major", "minor", "micro")]
    return ".".join([str(number) for number in numbers if number != None]) if numbers[1] else ""

def _bento_toolchain_python_impl(ctx):
    version = ctx.attr.python_version
    runtime = ctx.toolchains[_TYPE].py3_runtime
    if not runtime.interpreter or runtime.interpreter.extension == "sh":
        fail(("actions require a hermetic Python {version} from rules_python, but the registered toolchain uses the " +
              "host's Python ({actual}). Remove its registration, and add python.toolchain(python_version = " +
              "\"{version}\") to MODULE.bazel. To use the host's Python, set bento_tools.python(interpreter = " +
              "\"python3\").").format(
            actual = runtime.interpreter_path or runtime.interpreter.short_path,
            version = version,
        ))
    actual = _version(runtime) or version
    if minor_version(actual) != version:
        fail(("the rules_python toolchain for Python {required} provides Python {actual}. Set " +
              "bento_tools.python(version = \"{actual}\") in MODULE.bazel.").format(
            actual = minor_version(actual),
            required = version,
        ))
    return [
        BentoPythonInfo(
            files = depset([runtime.interpreter], transitive = [runtime.files]),
            interpreter = runtime.interpreter,
            interpreter_path = "",
            version = actual,
        ),
        DefaultInfo(files = runtime.files),
    ]

# The CPython interpreter of a rules_python toolchain (`X.Y`) for the target platform.
bento_toolchain_python = rule(
    implementation = _bento_toolchain_python_impl,
    cfg = common_cfg,
    attrs = {"python_version": attr.string(mandatory = True)},
    provides = [BentoPythonInfo],
    toolchains = [_TYPE],
)

def _bento_target_python_impl(ctx):
    toolchain = ctx.toolchains[_TYPE]
    runtime = toolchain.py3_runtime if toolchain else None
    return [BentoPythonInfo(
        files = depset(transitive = [runtime.files] if runtime and runtime.files else []),
        interpreter = runtime.interpreter if runtime else None,
        interpreter_path = (runtime.interpreter_path if runtime else None) or "",
        version = _version(runtime),
    )]

# The interpreter of rules_python (`X.Y`) for the target platform, for `bento_base`, which checks it.
bento_target_python = rule(
    implementation = _bento_target_python_impl,
    cfg = target_cfg,
    attrs = {"python_version": attr.string(mandatory = True)},
    provides = [BentoPythonInfo],
    toolchains = [config_common.toolchain_type(_TYPE, mandatory = False)],
)

_PACKING_TYPE = "//toolchains:packing_type"

def _is_unpacked(python):
    """Returns whether an interpreter has the directories of `make install`, with one file for each module."""
    if not python.interpreter:
        return False
    directory, _, _ = python.interpreter.short_path.rpartition("/")
    prefix, _, name = directory.rpartition("/")
    library = "{}/lib/python{}/".format(prefix, ".".join(python.version.split(".")[:2]))
    required = [library + "os.py", library + "encodings/__init__.py"]

    # The list has a few thousand files. It is created only once for each execution platform.
    return name == "bin" and len([
        None
        for file in python.files.to_list()
        if file.short_path in required
    ]) == len(required)

def _bento_packed_python_impl(ctx):
    python = ctx.attr.python[BentoPythonInfo]
    if not _is_unpacked(python):
        return [python, DefaultInfo(files = python.files)]

    # The program isn't inside the output directory. Otherwise, command lines would contain its path as a string, which
    # path mapping doesn't change.
    program = ctx.actions.declare_file(ctx.label.name + "/bin/python3")
    library = ctx.actions.declare_directory(ctx.label.name + "/lib")
    args = ctx.actions.args()
    args.add_all(COMPILER_FLAGS)
    args.add_all([ctx.file._packer, "--checked", python.interpreter, program])
    ctx.actions.run(
        mnemonic = "BentoInterpreter",
        progress_message = "Packing the interpreter of actions",
        executable = python.interpreter,
        arguments = [args],
        inputs = python.files,
        outputs = [program, library],
        tools = [ctx.file._packer],
        env = COMPILER_VARIABLES,
        execution_requirements = {"block-network": "1", "supports-path-mapping": "1"},
        toolchain = _PACKING_TYPE,
    )
    files = depset([program, library])
    return [
        BentoPythonInfo(files = files, interpreter = program, interpreter_path = "", version = python.version),
        DefaultInfo(files = files),
    ]

# Packs a CPython interpreter into a few files, without modules for interactive use or development. Doesn't change an
# interpreter whose target sets `interpreter_path`, whose directory layout isn't supported, or that is already packed.
bento_packed_python = rule(
    implementation = _bento_packed_python_impl,

    # All targets use a single configuration. Otherwise, Bazel would pack the interpreter again for each set of flags.
    cfg = common_cfg,
    attrs = {
        "python": attr.label(mandatory = True, providers = [BentoPythonInfo]),
        "_packer": attr.label(allow_single_file = True, default = "//toolchains/programs:pack_python.py"),
    },
    provides = [BentoPythonInfo],
    # The packer runs with the interpreter that it packs, so the action must run on the platform of the interpreter.
    toolchains = [_PACKING_TYPE],
)
