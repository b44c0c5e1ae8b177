"""The program behind `bazel run` of a Bento."""

load(":attributes.bzl", "label_text")
load(":helper.bzl", "TOOLCHAIN_TYPE", "toolchain_modules")
load(":launcher.bzl", "COMMAND_PACKAGES", "PYTHON", "helper_launcher", "runfile")

def serve_launcher(ctx, archive, *, models = []):
    """Writes a program that serves a Bento with the BentoML of its requirements, or says what is in it.

    Args:
      ctx: context of an executable rule with `TOOLCHAIN_TYPE` among its toolchains.
      archive: the Bento's archive.
      models: list of BentoModelInfo that are not in it.

    Returns:
      A struct of executable (File) and runfiles.
    """
    uv = ctx.toolchains[TOOLCHAIN_TYPE].uv
    return helper_launcher(
        ctx,
        arguments = ["--target", label_text(ctx.label), "--archive", runfile(ctx, archive), "--uv", runfile(ctx, uv), "--python", PYTHON] +
                    [word for model in models for word in ("--model", runfile(ctx, model.description), runfile(ctx, model.archive_part))],
        files = depset([archive, uv] + [file for model in models for file in (model.description, model.archive_part)]),
        modules = toolchain_modules(ctx, COMMAND_PACKAGES),
        verb = "serve",
    )
