"""The program behind `bazel run` of a Bento."""

load(":attributes.bzl", "label_text")
load(":helper.bzl", "INTERPRETER_FLAGS", "TOOLCHAIN_TYPE")

# sh is what every system that Bazel runs programs on has; all else comes from the toolchain.
_LAUNCHER = """\
#!/bin/sh
# Serves {label}; made by rules_bento.
runfiles="${{RUNFILES_DIR:-$0.runfiles}}"
case "$runfiles" in /*) ;; *) runfiles="$PWD/$runfiles" ;; esac
exec "{python}" {flags} "$runfiles/{helper}" serve \\
    --target "{label}" --archive "$runfiles/{archive}" --uv "$runfiles/{uv}" --python "{python}" -- "$@"
"""

def _runfile(ctx, file):
    """Where a file lies below the runfiles."""
    if file.short_path.startswith("../"):
        return file.short_path.removeprefix("../")
    return ctx.workspace_name + "/" + file.short_path

def serve_launcher(ctx, archive):
    """Writes a program that serves a Bento with the BentoML of its requirements.

    Args:
      ctx: context of an executable rule with `TOOLCHAIN_TYPE` among its toolchains.
      archive: the Bento's archive.

    Returns:
      A struct of executable (File) and runfiles.
    """
    toolchain = ctx.toolchains[TOOLCHAIN_TYPE]
    python = toolchain.python
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        executable,
        _LAUNCHER.format(
            archive = _runfile(ctx, archive),
            flags = " ".join(INTERPRETER_FLAGS),
            helper = _runfile(ctx, toolchain.helper),
            label = label_text(ctx.label),
            python = "$runfiles/" + _runfile(ctx, python.interpreter) if python.interpreter else python.interpreter_path,
            uv = _runfile(ctx, toolchain.uv),
        ),
        is_executable = True,
    )
    files = depset([archive, toolchain.helper, toolchain.uv], transitive = [toolchain.helper_sources, python.files])
    return struct(executable = executable, runfiles = ctx.runfiles(transitive_files = files))
