"""Defines with_transports, a program that is built with the flag `//rules:transports`."""

_cfg = transition(
    implementation = lambda _settings, _attr: {"//rules:transports": True},
    inputs = [],
    outputs = ["//rules:transports"],
)

def _with_transports_impl(ctx):
    info = ctx.attr.program[0][DefaultInfo]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = executable, target_file = info.files_to_run.executable, is_executable = True)
    return [DefaultInfo(executable = executable, runfiles = info.default_runfiles)]

with_transports = rule(
    implementation = _with_transports_impl,
    attrs = {"program": attr.label(cfg = _cfg, executable = True, mandatory = True)},
    executable = True,
)
