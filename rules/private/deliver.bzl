"""Run targets that give a Bento to a command of `bento`."""

load("//rules:providers.bzl", "BentoInfo")
load(":attributes.bzl", "label_text")
load(":launcher.bzl", "helper_launcher", "runfile", "runtime")
load(":providers.bzl", "BentoCommandInfo")

SRC = attr.label(doc = "The Bento.", mandatory = True, providers = [BentoInfo])

def delivery(ctx, *, verb, to = "", words = [], status = [], command = None):
    """Writes a program that runs a command on the Bento of `src`; the caller's arguments follow.

    Args:
      ctx: context of an executable rule with the attributes of `RUN_RUNTIME`, and a `src`.
      verb: the command.
      to: where to, if that is stated; the caller may name another place.
      words: list of further words for it.
      status: list of the Files with values for `{KEY}` in `to`.
      command: a target with the packages of a `bento` command, if more are wanted than each has.

    Returns:
      The providers of the rule.
    """
    archive = ctx.attr.src[BentoInfo].archive
    arguments = ["--target", label_text(ctx.label), "--archive", runfile(ctx, archive), "--verb", verb]
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

        # A handful, and only where they are asked for.
        modules = runtime(ctx).command_packages + (command[BentoCommandInfo].modules.to_list() if command else []),
        verb = "deliver",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]
