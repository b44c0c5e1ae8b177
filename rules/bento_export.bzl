"""Defines bento_export, a program that writes a Bento to a file, a directory, or a URL."""

load("//rules/private:attributes.bzl", "STAMP", "status_files")
load("//rules/private:bento_command.bzl", "SRC", "store_program")
load("//rules/private:launcher.bzl", "RUN_RUNTIME")
load("//rules/private:providers.bzl", "BentoCommandInfo")

def _bento_export_impl(ctx):
    words = ["--format", ctx.attr.format] if ctx.attr.format else []
    if not ctx.attr.bundle_models:
        words.append("--no-models")
    return store_program(ctx, subcommand = "export", to = ctx.attr.destination, words = words, status = status_files(ctx, [ctx.attr.destination]), command = ctx.attr.bento_command)

bento_export = rule(
    implementation = _bento_export_impl,
    doc = """Exports a Bento and its models to `destination` with `bazel run`.

```starlark
bento_export(
    name = "export",
    src = ":iris_bento",
    stamp = 1,
    destination = "release/iris-{STABLE_VERSION}.bento",
)
```

`destination` accepts the same values as `bento export`, relative to the directory that Bazel starts in. A destination after `--` replaces it, and
options of `bento export` can follow. Credentials are read at run time and reach no output.

S3, Azure, and Google Cloud Storage need additional packages: set `bento_command = "@rules_bento//tools:bento_with_transports"`.""",
    attrs = {
        "bundle_models": attr.bool(default = True, doc = "Whether to export the models of the Bento with it."),
        "bento_command": attr.label(doc = "`bento` command with additional packages. Default: a command that supports files, FTP, Dropbox, and SFTP with `ssh`.", providers = [BentoCommandInfo]),
        "format": attr.string(doc = "Format of the export. Default: the format of the destination's suffix.", values = ["", "xz", "gz", "bz2", "zst", "tar", "zip", "folder"]),
        "src": SRC,
        "destination": attr.string(doc = "File, directory, or URL. Default: the directory that Bazel starts in. In a stamped build, `{KEY}` is replaced by a value of the workspace status; other builds reject a destination with `{KEY}`."),
    } | RUN_RUNTIME | STAMP,
    executable = True,
)
