"""Defines bento_import, a program that imports a Bento into BentoML's store on this machine."""

load("//rules/private:bento_command.bzl", "SRC", "store_program")
load("//rules/private:launcher.bzl", "RUN_RUNTIME")

def _bento_import_impl(ctx):
    return store_program(ctx, subcommand = "import")

bento_import = rule(
    implementation = _bento_import_impl,
    doc = """Imports a Bento and its models into the store at `BENTOML_HOME` with `bazel run`.

```starlark
bento_import(name = "import", src = ":iris_bento")
```

Pass options of `bento import` after `--`. To import a single Bento, you can also run `bazel run //:iris_bento -- import`. Use this rule to run
several imports with `multirun` of rules_multirun.""",
    attrs = {"src": SRC} | RUN_RUNTIME,
    executable = True,
)
