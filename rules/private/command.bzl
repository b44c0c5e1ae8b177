"""The `bento` command as a program of Bazel."""

load("//rules:providers.bzl", "BentoRequirementInfo")
load(":launcher.bzl", "RUN_RUNTIME", "helper_launcher", "runtime")
load(":providers.bzl", "BentoCommandInfo")
load(":transitions.bzl", "on_host")

def _bento_command_impl(ctx):
    modules = depset(transitive = [target[BentoRequirementInfo].modules for target in ctx.attr.transports])
    launcher = helper_launcher(
        ctx,
        arguments = [],
        files = depset(),

        # A handful, and only of the target that has any.
        modules = runtime(ctx).command_packages + modules.to_list(),
        verb = "command",
    )
    return [
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
        BentoCommandInfo(modules = modules),
    ]

bento_command = rule(
    implementation = _bento_command_impl,
    doc = "The `bento` command, in the toolchain's interpreter.",
    attrs = {
        "transports": attr.label_list(cfg = on_host, doc = "Packages that speak to other places.", providers = [BentoRequirementInfo]),
    } | RUN_RUNTIME,
    executable = True,
)
