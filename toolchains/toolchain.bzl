"""The toolchain of rules_bento."""

load("//rules/private:providers.bzl", "BentoFlagInfo", "BentoHelperPackagesInfo", "BentoPythonInfo")  # buildifier: disable=bzl-visibility
load("//rules/private:transitions.bzl", "host_cfg")  # buildifier: disable=bzl-visibility

def _bento_toolchain_impl(ctx):
    packages = ctx.attr.packages[BentoHelperPackagesInfo].packages
    python, complete = ctx.attr.python[BentoPythonInfo], ctx.attr.complete_python[BentoPythonInfo]
    return [platform_common.ToolchainInfo(
        # For third-party code, which might import any module.
        complete = struct(
            python = complete,
            tools = depset([ctx.file.helper], transitive = [complete.files]),
        ),
        helper = ctx.file.helper,
        packages = packages,
        persistent_workers = bool(ctx.attr._persistent_workers[BentoFlagInfo].value),
        python = python,

        # Depsets that are made once and that all actions share: inputs of every action, and the few files of each package that some import.
        tools = depset([ctx.file.helper], transitive = [python.files]),
        tools_of_packages = {
            name: depset(transitive = [module.files for module in modules])
            for name, modules in packages.items()
        },
        uv = ctx.file.uv,
    )]

bento_interpreter = rule(
    implementation = lambda ctx: [platform_common.ToolchainInfo(python = ctx.attr.python[BentoPythonInfo])],
    doc = "The interpreter that compiles the helper of the toolchain.",
    attrs = {
        "python": attr.label(cfg = "exec", doc = "The interpreter. Its bytecode is for all platforms.", mandatory = True, providers = [BentoPythonInfo]),
    },
)

bento_toolchain = rule(
    implementation = _bento_toolchain_impl,
    doc = "The programs of actions: the helper, its interpreter, and uv, for the machine that runs the actions.",
    attrs = {
        "complete_python": attr.label(cfg = "exec", doc = "The interpreter with its complete standard library.", mandatory = True, providers = [BentoPythonInfo]),
        "helper": attr.label(allow_single_file = True, cfg = "exec", doc = "The helper.", mandatory = True),
        "packages": attr.label(cfg = "exec", doc = "Packages that the helper's verbs import.", mandatory = True, providers = [BentoHelperPackagesInfo]),
        "python": attr.label(cfg = "exec", doc = "The interpreter, with what the helper imports.", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, cfg = "exec", doc = "The resolver.", mandatory = True),
        "_persistent_workers": attr.label(default = "//rules:persistent_workers", providers = [BentoFlagInfo]),
    },
)

# What the `bento` command imports.
_OF_COMMAND = ["blake3", "jinja2", "packaging", "pathspec", "pyyaml", "zstandard"]

def _bento_runtime_impl(ctx):
    packages = ctx.attr.packages[BentoHelperPackagesInfo].packages
    return [platform_common.ToolchainInfo(
        command_packages = [module for name in _OF_COMMAND for module in packages[name]],
        helper = ctx.file.helper,
        packages = packages,
        python = ctx.attr.python[BentoPythonInfo],
        uv = ctx.file.uv,
    )]

bento_runtime = rule(
    implementation = _bento_runtime_impl,
    doc = "The programs of `bazel run` and `bazel test`, for the machine that runs them.",
    attrs = {
        "helper": attr.label(allow_single_file = True, cfg = "exec", doc = "The helper. Its bytecode is for all machines.", mandatory = True),
        "packages": attr.label(doc = "The packages that the helper's verbs import.", mandatory = True, providers = [BentoHelperPackagesInfo]),
        "python": attr.label(doc = "The interpreter.", mandatory = True, providers = [BentoPythonInfo]),
        "uv": attr.label(allow_single_file = True, doc = "The resolver.", mandatory = True),
    },
)

_RUNTIME_TYPE = "//toolchains:runtime_type"

def _bento_current_runtime_impl(ctx):
    return [ctx.toolchains[_RUNTIME_TYPE]]

# The runtime that toolchain resolution finds, as a target, so that attributes can name it.
bento_current_runtime = rule(
    implementation = _bento_current_runtime_impl,
    doc = "The runtime for the platform of the build.",
    toolchains = [_RUNTIME_TYPE],
)

bento_host_runtime = rule(
    implementation = _bento_current_runtime_impl,
    cfg = host_cfg,
    doc = "The runtime for the machine that builds.",
    toolchains = [_RUNTIME_TYPE],
)
