"""The compiled program of actions."""

load("//rules/private:helper.bzl", "COMPILER_FLAGS", "COMPILER_VARIABLES")  # buildifier: disable=bzl-visibility
load("//rules/private:transitions.bzl", "modules_cfg")  # buildifier: disable=bzl-visibility

_INTERPRETER_TYPE = "//toolchains:interpreter_type"

def _bento_helper_impl(ctx):
    python = ctx.toolchains[_INTERPRETER_TYPE].python
    program = ctx.actions.declare_file(ctx.label.name + ".zip")
    args = ctx.actions.args()
    args.add_all(COMPILER_FLAGS)
    args.add_all([ctx.file._compiler, program, ctx.file.main])
    args.add_all(ctx.files.srcs)
    ctx.actions.run(
        mnemonic = "BentoCompile",
        progress_message = "Compiling the helper of rules_bento",
        executable = python.interpreter or python.interpreter_path,
        arguments = [args],
        inputs = [ctx.file.main] + ctx.files.srcs,
        outputs = [program],
        tools = depset([ctx.file._compiler], transitive = [python.files]),
        env = COMPILER_VARIABLES,
        execution_requirements = {"block-network": "1", "supports-path-mapping": "1"},
        toolchain = _INTERPRETER_TYPE,
    )
    return [DefaultInfo(files = depset([program]))]

# The helper is independent of the platform, unlike its packages, so it builds on platforms without packages.
bento_helper = rule(
    implementation = _bento_helper_impl,

    # One configuration; otherwise Bazel would compile the helper for each set of flags.
    cfg = modules_cfg,
    doc = "The helper as one file of bytecode: startup compiles nothing, and an action has one input for it.",
    attrs = {
        "main": attr.label(allow_single_file = [".py"], default = "//py:main.py", doc = "Program whose first argument is the verb."),
        "srcs": attr.label_list(allow_files = [".py"], default = ["//py:sources"], doc = "Modules of the helper."),
        "_compiler": attr.label(allow_single_file = True, default = "//py:compile.py"),
    },
    toolchains = [_INTERPRETER_TYPE],
)
