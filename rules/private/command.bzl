"""The `bento` command as a program of Bazel."""

load(":helper.bzl", "TOOLCHAIN_TYPE")
load(":launcher.bzl", "COMMAND_PACKAGES", "helper_launcher")

def _bento_command_impl(ctx):
    launcher = helper_launcher(
        ctx,
        arguments = [],
        files = depset(),
        packages = COMMAND_PACKAGES,
        verb = "command",
    )
    return [DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)]

bento_command = rule(
    implementation = _bento_command_impl,
    doc = "The `bento` command, in the toolchain's interpreter.",
    executable = True,
    toolchains = [TOOLCHAIN_TYPE],
)
