"""The toolchain of rules_bento."""

load("//rules/private:wheels.bzl", "always_modules", "on_host")  # buildifier: disable=bzl-visibility
load("//rules/providers:flag.bzl", "BentoFlagInfo")
load("//rules/providers:helper.bzl", "BentoHelperInfo")
load("//rules/providers:python.bzl", "BentoPythonInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")

def _bento_toolchain_impl(ctx):
    helper = ctx.attr.helper[BentoHelperInfo]
    python = ctx.attr.python[BentoPythonInfo]
    return [platform_common.ToolchainInfo(
        helper = helper.program,
        packages = helper.packages,
        persistent_workers = bool(ctx.attr._persistent_workers[BentoFlagInfo].value),
        python = python,

        # Depsets that all actions share: what each takes, and what the packages are that some import.
        tools = depset([helper.program], transitive = [python.files]),
        tools_of_packages = {
            name: depset(transitive = [module.files for module in modules])
            for name, modules in helper.packages.items()
        },
        uv = ctx.file.uv,
    )]

bento_interpreter = rule(
    implementation = lambda ctx: [platform_common.ToolchainInfo(python = ctx.attr.python[BentoPythonInfo])],
    doc = "What compiles the helper, which the toolchain needs: the interpreter of actions alone.",
    attrs = {
        "python": attr.label(cfg = "exec", doc = "The interpreter; what it compiles is for those of all platforms.", mandatory = True, providers = [BentoPythonInfo]),
    },
)

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

def _bento_runtime_impl(ctx):
    helper = ctx.attr.helper[BentoHelperInfo]
    return [platform_common.ToolchainInfo(
        helper = helper.program,

        # Each is a few wheels.
        packages = {target.label.name: target[BentoRequirementInfo].modules.to_list() for target in ctx.attr.packages},
        python = ctx.attr.python[BentoPythonInfo],
        uv = ctx.file.uv,
    )]

bento_runtime = rule(
    implementation = _bento_runtime_impl,
    doc = "What `bazel run` and `bazel test` start: the same, for the machine that they start it on.",
    attrs = {
        "helper": attr.label(cfg = "exec", doc = "The helper; its byte code is for all machines.", mandatory = True, providers = [BentoHelperInfo]),
        "packages": attr.label_list(cfg = always_modules, doc = "The packages that the helper's verbs import.", mandatory = True, providers = [BentoRequirementInfo]),
        "python": attr.label(doc = "The interpreter.", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, doc = "The resolver.", mandatory = True),
    },
)

_RUNTIME_TYPE = "//toolchains:runtime_type"

# The helper is compiled by what runs actions, whatever starts it.
_TYPES = [_RUNTIME_TYPE, "//toolchains:interpreter_type"]

def _bento_current_runtime_impl(ctx):
    return [ctx.toolchains[_RUNTIME_TYPE]]

# What is found for a configuration, as an attribute can name it.
bento_current_runtime = rule(
    implementation = _bento_current_runtime_impl,
    doc = "The runtime for the platform of the build.",
    toolchains = _TYPES,
)

bento_host_runtime = rule(
    implementation = _bento_current_runtime_impl,
    cfg = on_host,
    doc = "The runtime for the machine that builds.",
    toolchains = _TYPES,
)
