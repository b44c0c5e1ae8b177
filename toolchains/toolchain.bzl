"""The toolchain of rules_bento."""

load("//rules/providers:python.bzl", "BentoPythonInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")

def _bento_toolchain_impl(ctx):
    packages = {}
    for target in ctx.attr.packages:
        # A handful of packages: the verbs name which of them they need.
        packages[target.label.name] = target[BentoRequirementInfo].modules.to_list()
    return [platform_common.ToolchainInfo(
        helper = ctx.file.helper,
        helper_sources = depset(ctx.files.helper_sources),
        packages = packages,
        python = ctx.attr.python[BentoPythonInfo],
        uv = ctx.file.uv,
    )]

bento_toolchain = rule(
    implementation = _bento_toolchain_impl,
    doc = "What the actions run: the helper, its interpreter and packages, and uv.",
    attrs = {
        "helper": attr.label(allow_single_file = [".py"], default = "//py:main.py", doc = "The program whose first argument is the verb."),
        "helper_sources": attr.label_list(allow_files = [".py"], default = ["//py:sources"], doc = "The modules of the helper."),
        "packages": attr.label_list(doc = "The packages that the helper's verbs import.", mandatory = True, providers = [BentoRequirementInfo]),
        "python": attr.label(doc = "The interpreter.", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, doc = "The resolver.", mandatory = True),
    },
)
