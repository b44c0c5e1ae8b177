"""The interpreter of the action helpers."""

load("//rules/private:providers.bzl", "BentoPythonInfo")  # buildifier: disable=bzl-visibility

def _bento_python_impl(ctx):
    if bool(ctx.attr.interpreter_path) == bool(ctx.file.interpreter):
        fail("{}: set one of interpreter and interpreter_path".format(ctx.label))
    files = ctx.files.files + ([ctx.file.interpreter] if ctx.file.interpreter else [])
    return [
        BentoPythonInfo(
            files = depset(files),
            interpreter = ctx.file.interpreter,
            interpreter_path = ctx.attr.interpreter_path,
            version = ctx.attr.version,
        ),
        DefaultInfo(files = depset(files)),
    ]

bento_python = rule(
    implementation = _bento_python_impl,
    doc = "A CPython that actions run in: files of the build, or a path of the host.",
    attrs = {
        "files": attr.label_list(allow_files = True, doc = "What the interpreter needs beside it."),
        "interpreter": attr.label(allow_single_file = True, doc = "The interpreter, a file of the build."),
        "interpreter_path": attr.string(doc = "The interpreter, an absolute path of the host; caches are then shared only by hosts that are alike."),
        "version": attr.string(doc = "Its version, `X.Y.Z`.", mandatory = True),
    },
    provides = [BentoPythonInfo],
)
