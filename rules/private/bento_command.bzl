"""Defines the `bento` command, and programs that run the command on a Bento."""

load("//rules:providers.bzl", "BentoInfo", "BentoRequirementInfo")
load(":attributes.bzl", "label_string")
load(":launcher.bzl", "PYTHON", "RUN_RUNTIME", "helper_launcher", "runfile", "runtime")
load(":providers.bzl", "BentoCommandInfo")
load(":transitions.bzl", "host_cfg")

def _bento_command_impl(ctx):
    modules = depset(transitive = [target[BentoRequirementInfo].modules for target in ctx.attr.transports])
    uv = runtime(ctx).uv
    launcher = helper_launcher(
        ctx,
        arguments = ["--uv", runfile(ctx, uv)],
        files = depset([uv]),

        # The list is short. Only targets with `transports` have packages.
        modules = runtime(ctx).command_packages + modules.to_list(),
        subcommand = "bento_cli.programs.command",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles), BentoCommandInfo(modules = modules)]

bento_command = rule(
    implementation = _bento_command_impl,
    doc = "Declares the `bento` command, which runs with the toolchain's interpreter.",
    attrs = {
        "transports": attr.label_list(cfg = host_cfg, doc = "Packages for additional transports of the command, from a package hub.", providers = [BentoRequirementInfo]),
    } | RUN_RUNTIME,
    executable = True,
)

def _source_roots(ctx, build_ctx, import_roots):
    """Returns the directories in the workspace that can contain files of the Bento's `src/`."""
    own = ctx.workspace_name + "/"

    # The number of import roots is small, and doesn't depend on the number of files.
    roots = [root.removeprefix(own) for root in import_roots.to_list() if root.startswith(own)]
    return ["."] if build_ctx.startswith("../") else [build_ctx or "."] + roots + ["."]

def serve_program(ctx, archive, *, build_ctx, import_roots, models = []):
    """Declares a program that serves a Bento with its own BentoML version. `models` lists the models that `archive` excludes."""
    uv = runtime(ctx).uv
    return helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--archive", runfile(ctx, archive), "--uv", runfile(ctx, uv), "--python", PYTHON] +
                    [word for root in _source_roots(ctx, build_ctx, import_roots) for word in ("--source-root", root)] +
                    [word for model in models for word in ("--model", runfile(ctx, model.description), runfile(ctx, model.archive_part))],
        files = depset([archive, uv] + [file for model in models for file in (model.description, model.archive_part)]),
        modules = runtime(ctx).command_packages,
        subcommand = "bento_cli.programs.serve",
    )

SRC = attr.label(doc = "The Bento to export, import, or push.", mandatory = True, providers = [BentoInfo])

def store_program(ctx, *, subcommand, to = "", words = [], status = [], command = None):
    """Declares a program that runs a `bento` command on the Bento in `src`, with additional arguments from the user.

    Args:
      ctx: context of an executable rule with the attributes `RUN_RUNTIME` and `src`.
      subcommand: name of the `bento` command.
      to: default destination.
      words: list of additional arguments.
      status: list of Files with values for `{KEY}` in `to`.
      command: `bento_command` target with additional packages, or None.

    Returns:
      The providers of the rule.
    """
    archive = ctx.attr.src[BentoInfo].archive
    arguments = ["--target", label_string(ctx.label), "--archive", runfile(ctx, archive), "--subcommand", subcommand]
    if to:
        arguments += ["--to", to]
    for word in words:
        arguments += ["--word", word]
    for file in status:
        arguments += ["--status", runfile(ctx, file)]
    launcher = helper_launcher(
        ctx,
        arguments = arguments,
        files = depset([archive] + status),

        # The list is short. Only targets with `bento_command` have packages.
        modules = runtime(ctx).command_packages + (command[BentoCommandInfo].modules.to_list() if command else []),
        subcommand = "bento_cli.programs.deliver",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]
