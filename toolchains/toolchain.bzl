"""The toolchain of rules_bento."""

load("//rules/providers:flag.bzl", "BentoFlagInfo")
load("//rules/providers:helper.bzl", "BentoHelperInfo")
load("//rules/providers:python.bzl", "BentoPythonInfo")

def _bento_toolchain_impl(ctx):
    helper = ctx.attr.helper[BentoHelperInfo]
    return [platform_common.ToolchainInfo(
        helper = helper.program,
        packages = helper.packages,
        persistent_workers = bool(ctx.attr._persistent_workers[BentoFlagInfo].value),
        python = ctx.attr.python[BentoPythonInfo],
        uv = ctx.file.uv,
    )]

bento_toolchain = rule(
    implementation = _bento_toolchain_impl,
    doc = "What actions run: the helper, its interpreter, and uv. All of it is for the machine that runs them.",
    attrs = {
        "helper": attr.label(cfg = "exec", doc = "The helper.", mandatory = True, providers = [BentoHelperInfo]),
        "python": attr.label(cfg = "exec", doc = "The interpreter.", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, cfg = "exec", doc = "The resolver.", mandatory = True),
        "_persistent_workers": attr.label(default = "//rules:persistent_workers", providers = [BentoFlagInfo]),
    },
)
