"""Defines bento_export, a program that writes a Bento to a file, a folder or a URL, as `bento export` does."""

load("//rules/private:bento_command.bzl", "SRC", "store_program")
load("//rules/private:launcher.bzl", "RUN_RUNTIME")
load("//rules/private:providers.bzl", "BentoCommandInfo")
load("//rules/private:stamping.bzl", "STAMP", "status_files")

def _bento_export_impl(ctx):
    words = ["--format", ctx.attr.format] if ctx.attr.format else []
    if not ctx.attr.bundle_models:
        words.append("--no-models")
    return store_program(ctx, verb = "export", to = ctx.attr.destination, words = words, status = status_files(ctx, [ctx.attr.destination]), command = ctx.attr.bento_command)

bento_export = rule(
    implementation = _bento_export_impl,
    doc = """A program, for `bazel run`, that writes a Bento and its models where `to` says.

```starlark
bento_export(
    name = "export",
    src = ":iris_bento",
    stamp = 1,
    destination = "release/iris-{STABLE_VERSION}.bento",
)
```

`to` is all that `bento export` takes, relative to the folder that Bazel is started from; a place behind `--` takes its place,
and options of `bento export` may follow. Credentials are asked for when it runs, and are in no output.

S3, Azure and Google Cloud Storage need packages that only this fetches: `bento_command = "@rules_bento//tools:bento_with_transports"`.""",
    attrs = {
        "bundle_models": attr.bool(default = True, doc = "Whether the models of the Bento are written with it."),
        "bento_command": attr.label(doc = "The `bento` whose packages are used. Default: those that each has, for files, FTP, Dropbox, and SFTP by `ssh`.", providers = [BentoCommandInfo]),
        "format": attr.string(doc = "What is written. Default: what the name says.", values = ["", "xz", "gz", "bz2", "zst", "tar", "zip", "folder"]),
        "src": SRC,
        "destination": attr.string(doc = "A file or a folder. Default: the folder that Bazel is started from. `{KEY}` stands for a value of the workspace status in a stamped build; others refuse to write there."),
    } | RUN_RUNTIME | STAMP,
    executable = True,
)
