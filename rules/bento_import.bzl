"""Defines bento_import, a program that takes a Bento into the store of BentoML on this machine."""

load("//rules/private:bento_command.bzl", "SRC", "store_program")
load("//rules/private:launcher.bzl", "RUN_RUNTIME")

def _bento_import_impl(ctx):
    return store_program(ctx, verb = "import")

bento_import = rule(
    implementation = _bento_import_impl,
    doc = """A program, for `bazel run`, that takes a Bento and its models into the store that `BENTOML_HOME` names.

Options of `bento import` may follow behind `--`. `bazel run` of the Bento itself does the same with `-- import`; as a target
it can be one of several that a multirun starts.""",
    attrs = {
        "src": SRC,
    } | RUN_RUNTIME,
    executable = True,
)
