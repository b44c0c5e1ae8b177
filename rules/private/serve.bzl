"""The program behind `bazel run` of a Bento."""

load(":attributes.bzl", "label_text")
load(":launcher.bzl", "PYTHON", "helper_launcher", "runfile", "runtime")

def _source_roots(ctx, build_ctx, import_roots):
    """Returns the folders of the workspace that the Bento's `src/` has files of."""
    own = ctx.workspace_name + "/"

    # Folders that are imported from are few, whatever lies in them.
    roots = [root.removeprefix(own) for root in import_roots.to_list() if root.startswith(own)]
    return ["."] if build_ctx.startswith("../") else [build_ctx or "."] + roots + ["."]

def serve_launcher(ctx, archive, *, build_ctx, import_roots, models = []):
    """Writes a program that serves a Bento with the BentoML of its requirements, or says what is in it.

    Args:
      ctx: context of an executable rule with the attributes of `RUN_RUNTIME`.
      archive: the Bento's archive.
      build_ctx: the folder that became the Bento's `src/`, as `build_ctx` says it.
      import_roots: depset of folders that modules are imported from.
      models: list of BentoModelInfo that are not in it.

    Returns:
      A struct of executable (File) and runfiles.
    """
    uv = runtime(ctx).uv
    return helper_launcher(
        ctx,
        arguments = ["--target", label_text(ctx.label), "--archive", runfile(ctx, archive), "--uv", runfile(ctx, uv), "--python", PYTHON] +
                    [word for root in _source_roots(ctx, build_ctx, import_roots) for word in ("--source-root", root)] +
                    [word for model in models for word in ("--model", runfile(ctx, model.description), runfile(ctx, model.archive_part))],
        files = depset([archive, uv] + [file for model in models for file in (model.description, model.archive_part)]),
        modules = runtime(ctx).command_packages,
        verb = "serve",
    )
