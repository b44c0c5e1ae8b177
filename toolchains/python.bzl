"""The interpreter of the action helpers."""

load("//rules/private:providers.bzl", "BentoPythonInfo")  # buildifier: disable=bzl-visibility

def _bento_python_impl(ctx):
    if bool(ctx.attr.interpreter_path) == bool(ctx.file.interpreter):
        fail("{}: interpreter and interpreter_path are both set or both empty. Set one of them".format(ctx.label))
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
    doc = "A CPython for actions: files of the build, or a path of the host.",
    attrs = {
        "files": attr.label_list(allow_files = True, doc = "Additional files of the interpreter."),
        "interpreter": attr.label(allow_single_file = True, doc = "The interpreter, as a file of the build."),
        "interpreter_path": attr.string(doc = "The interpreter, as an absolute path of the host. Only equal hosts can then share caches."),
        "version": attr.string(doc = "Version of the interpreter, `X.Y.Z`.", mandatory = True),
    },
    provides = [BentoPythonInfo],
)
