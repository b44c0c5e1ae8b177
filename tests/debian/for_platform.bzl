"""The files of a target, built for a platform."""

def _to_platform_impl(_settings, attr):
    return {"//command_line_option:platforms": [attr.platform]}

_to_platform = transition(
    implementation = _to_platform_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)

def _for_platform_impl(ctx):
    # A handful of files, each under a name of its own, for both platforms have the same paths in runfiles.
    linked = []
    for file in [file for target in ctx.attr.srcs for file in target[DefaultInfo].files.to_list()]:
        declare = ctx.actions.declare_directory if file.is_directory else ctx.actions.declare_file
        link = declare("{}/{}".format(ctx.label.name, file.basename))
        ctx.actions.symlink(output = link, target_file = file)
        linked.append(link)
    return [DefaultInfo(files = depset(linked))]

for_platform = rule(
    implementation = _for_platform_impl,
    doc = "The default outputs of targets, built for a platform.",
    attrs = {
        "platform": attr.string(doc = "Label of the platform.", mandatory = True),
        "srcs": attr.label_list(cfg = _to_platform, doc = "The targets.", mandatory = True),
        "_allowlist_function_transition": attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist"),
    },
)
