"""Programs that `bazel run` and `bazel test` start: the helper, with the toolchain's interpreter, on runfiles."""

load(":helper.bzl", "INTERPRETER_FLAGS", "TOOLCHAIN_TYPE")

# What the `bento` command imports.
COMMAND_PACKAGES = ["blake3", "jinja2", "packaging", "pyyaml", "zstandard"]

# sh is what every system that Bazel runs programs on has; all else comes from the toolchain.
_LAUNCHER = """\
#!/bin/sh
# Made by rules_bento.
runfiles="${{RUNFILES_DIR:-$0.runfiles}}"
case "$runfiles" in /*) ;; *) runfiles="$PWD/$runfiles" ;; esac
{chdir}exec {command} -- "$@"
"""

def runfile(ctx, file):
    """The path of a file in a launcher's arguments.

    Args:
      ctx: the rule's context.
      file: a File of the runfiles.

    Returns:
      A path that begins with the shell variable `runfiles`.
    """
    return "$runfiles/" + runfile_path(ctx, file)

def runfile_path(ctx, file):
    """Where a file lies below the runfiles.

    Args:
      ctx: the rule's context.
      file: a File.

    Returns:
      A relative path.
    """
    if file.short_path.startswith("../"):
        return file.short_path.removeprefix("../")
    return ctx.workspace_name + "/" + file.short_path

def python_path(ctx):
    """The interpreter, in a launcher's arguments.

    Args:
      ctx: the rule's context.

    Returns:
      A path, absolute or below the runfiles.
    """
    python = ctx.toolchains[TOOLCHAIN_TYPE].python
    return runfile(ctx, python.interpreter) if python.interpreter else python.interpreter_path

def helper_launcher(ctx, *, verb, arguments, files, packages = [], more_modules = [], in_runfiles = False):
    """Writes a program that runs a verb of the helper; the caller's arguments follow behind `--`.

    Args:
      ctx: context of an executable rule with `TOOLCHAIN_TYPE` among its toolchains.
      verb: the verb.
      arguments: list of flags and values; paths as `runfile` gives them.
      files: depset of what the verb reads.
      packages: names of the third-party packages that the verb imports.
      more_modules: list of BentoWheelModulesInfo of packages that are not the toolchain's.
      in_runfiles: whether its current folder is the runfiles' root, else the caller's.

    Returns:
      A struct of executable (File) and runfiles.
    """
    toolchain = ctx.toolchains[TOOLCHAIN_TYPE]
    modules = [module for name in packages for module in toolchain.packages[name]] + more_modules
    command = [python_path(ctx)] + INTERPRETER_FLAGS + [runfile(ctx, toolchain.helper)]
    for module in modules:
        for root in module.imports:
            command += ["--packages", "$runfiles/" + root]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        executable,
        _LAUNCHER.format(
            chdir = "cd \"$runfiles\" || exit 1\n" if in_runfiles else "",
            command = " ".join(["\"{}\"".format(word) for word in command + [verb] + arguments]),
        ),
        is_executable = True,
    )
    return struct(
        executable = executable,
        runfiles = ctx.runfiles(transitive_files = depset(
            [toolchain.helper],
            transitive = [files, toolchain.python.files] + [module.files for module in modules],
        )),
    )
