"""Run targets that give a Bento to a command of `bento`."""

load("//rules/providers:bento.bzl", "BentoInfo")
load("//rules/providers:command.bzl", "BentoCommandInfo")
load(":attributes.bzl", "label_text")
load(":launcher.bzl", "COMMAND_PACKAGES", "helper_launcher", "runfile")

SRC = attr.label(doc = "The Bento.", mandatory = True, providers = [BentoInfo])
STAMPED = attr.bool(doc = "Whether `{KEY}` is filled in from Bazel's workspace status.")

def delivery(ctx, *, verb, to = "", words = [], stamped = False, command = None):
    """Writes a program that runs a command on the Bento of `src`; the caller's arguments follow.

    Args:
      ctx: context of an executable rule with the attributes of `RUN_RUNTIME`, and a `src`.
      verb: the command.
      to: where to, if that is stated; the caller may name another place.
      words: list of further words for it.
      stamped: whether `{KEY}` in `to` and `words` stands for a value of the workspace status.
      command: a target with the packages of a `bento` command, if more are wanted than each has.

    Returns:
      The providers of the rule.
    """
    archive = ctx.attr.src[BentoInfo].archive
    files = [archive]
    arguments = ["--target", label_text(ctx.label), "--archive", runfile(ctx, archive), "--verb", verb]
    if to:
        arguments += ["--to", to]
    for word in words:
        arguments += ["--word", word]
    if stamped:
        for file in (ctx.info_file, ctx.version_file):
            arguments += ["--status", runfile(ctx, file)]
            files.append(file)
    launcher = helper_launcher(
        ctx,
        arguments = arguments,
        files = depset(files),

        # A handful, and only where they are asked for.
        more_modules = command[BentoCommandInfo].modules.to_list() if command else [],
        packages = COMMAND_PACKAGES,
        verb = "deliver",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]
