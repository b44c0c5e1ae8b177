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

`destination` accepts the same values as `bento export`. A relative path is relative to the directory in which you run Bazel. After `--`, you
can pass another destination, which replaces `destination`, and options of `bento export`. The program reads credentials only at run time, so no
output of the build contains credentials.

URLs, except for `http` and `https`, require additional packages: set `bento_command = "@rules_bento//tools:bento_with_transports"`.""",
    attrs = {
        "bundle_models": attr.bool(default = True, doc = "Whether the export includes the Bento's models."),
        "bento_command": attr.label(doc = "The `bento` command that runs the export. The default command supports only files.", providers = [BentoCommandInfo]),
        "format": attr.string(doc = "Archive format. Default: determined by the destination's suffix.", values = ["", "xz", "gz", "bz2", "zst", "tar", "zip", "folder"]),
        "src": SRC,
        "destination": attr.string(doc = "File, directory, or URL to export to. Default: the directory in which you run Bazel. In a stamped build, `{KEY}` is replaced by a value from the workspace status. In other builds, `{KEY}` is an error."),
    } | RUN_RUNTIME | STAMP,
    executable = True,
)
