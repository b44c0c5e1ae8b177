"""A rule that builds a wheel, as others' rules do."""

load("//private:helper.bzl", "TOOLCHAIN_TYPE")

def _made_wheel_impl(ctx):
    python = ctx.toolchains[TOOLCHAIN_TYPE].python
    wheel = ctx.actions.declare_file(ctx.attr.file_name)
    args = ctx.actions.args()
    args.add_all(["-I", ctx.file._program, wheel, ctx.attr.requires])
    args.add_all(ctx.files.srcs)
    ctx.actions.run(
        mnemonic = "MadeWheel",
        executable = python.interpreter or python.interpreter_path,
        arguments = [args],
        inputs = ctx.files.srcs + [ctx.file._program],
        outputs = [wheel],
        toolchain = TOOLCHAIN_TYPE,
        tools = python.files,
    )
    return [DefaultInfo(files = depset([wheel]))]

made_wheel = rule(
    implementation = _made_wheel_impl,
    doc = "A wheel of modules, or a source archive (.tar) of files.",
    attrs = {
        "file_name": attr.string(doc = "Its name.", mandatory = True),
        "requires": attr.string(doc = "A requirement. Default: none."),
        "srcs": attr.label_list(allow_files = [".pth", ".py", ".toml"], doc = "The files.", mandatory = True),
        "_program": attr.label(allow_single_file = True, default = "//tests/wheels:make_wheel.py"),
    },
    toolchains = [TOOLCHAIN_TYPE],
)
