"""Defines the `bento` command, and the program that `bazel run` starts for a Bento."""

load(":attributes.bzl", "minor_version")
load(":launcher.bzl", "PYTHON", "RUN_RUNTIME", "helper_launcher", "runtime")
load(":providers.bzl", "BentoPythonInfo")

def _bento_command_impl(ctx):
    launcher = helper_launcher(
        ctx,
        "bento_cli.programs.bento_command",
        {"--target": None, "--uv": runtime(ctx).uv},
        modules = runtime(ctx).command_packages,
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

# The `bento` command, which runs with the toolchain's interpreter.
bento_command = rule(
    implementation = _bento_command_impl,
    attrs = RUN_RUNTIME,
    executable = True,
)

# The `bento` command with the packages of additional transports, independent of the flag `//rules:transports`.
bento_command_with_transports = rule(
    implementation = _bento_command_impl,
    attrs = {
        "_runtime": attr.label(
            default = "//toolchains:host_runtime_with_transports",
            providers = [platform_common.ToolchainInfo],
        ),
    },
    executable = True,
)

def _source_roots(ctx, bento):
    """Returns the directories in the workspace that can contain files of the Bento's `src/`."""
    own = ctx.workspace_name + "/"

    # The number of import roots is small, and doesn't depend on the number of files.
    roots = [root.removeprefix(own) for root in bento.import_roots.to_list() if root.startswith(own)]
    return ["."] if bento.build_ctx.startswith("../") else [bento.build_ctx or "."] + roots + ["."]

# Attribute of rules with `serve_program`: the interpreter in the Python version of the configuration.
SERVING_PYTHON = {"_serving_python": attr.label(default = "//toolchains:host_python", providers = [BentoPythonInfo])}

def _serving_python(ctx, version):
    """Returns a struct of an interpreter in the Python version (`X.Y`) of a Bento.

    Fields: `word` (argument of the launcher) and `files`.

    If no toolchain has the version, this is the interpreter of the launcher, and uv reports the problem.
    """
    own = runtime(ctx).python
    other = ctx.attr._serving_python[BentoPythonInfo]
    if minor_version(own.version) == version or minor_version(other.version) != version or not other.interpreter:
        return struct(files = depset(), word = PYTHON)
    return struct(files = other.files, word = other.interpreter)

def serve_program(ctx, archive, bento, models):
    """Declares a program that serves a Bento (BentoInfo) with its own BentoML version.

    `models` lists the models that `archive` excludes.
    """
    python = _serving_python(ctx, bento.python_version)
    return helper_launcher(
        ctx,
        "bento_cli.programs.serve",
        {
            "--archive": archive,
            "--uv": runtime(ctx).uv,
            "--python": python.word,
            "--source-root": _source_roots(ctx, bento),
            "--model": [(model.description, model.archive_part) for model in models],
        },
        files = python.files,
        modules = runtime(ctx).command_packages,
    )
