"""Defines bento_cloud_push, a program that pushes a Bento to BentoCloud or Yatai."""

load("//rules/private:bento_command.bzl", "SRC", "store_program")
load("//rules/private:launcher.bzl", "RUN_RUNTIME")

def _bento_cloud_push_impl(ctx):
    words = ["--context", ctx.attr.cloud_context] if ctx.attr.cloud_context else []
    if ctx.attr.force:
        words.append("--force")
    return store_program(ctx, subcommand = "push", words = words)

bento_cloud_push = rule(
    implementation = _bento_cloud_push_impl,
    doc = """Pushes a Bento and its models to BentoCloud or Yatai with `bazel run`. The push uploads only missing data.

```starlark
bento_cloud_push(name = "cloud", src = ":iris_bento")
```

The program reads the credentials at run time: from `BENTO_CLOUD_API_KEY` and `BENTO_CLOUD_API_ENDPOINT`, otherwise from the context that
`bento cloud login` or `bentoml cloud login` saved. For OCI registries, use `bento_push`.""",
    attrs = {
        "cloud_context": attr.string(doc = "Name of a context that `bento cloud login` saved. Default: the current context."),
        "force": attr.bool(doc = "Whether to replace an existing Bento with the same tag."),
        "src": SRC,
    } | RUN_RUNTIME,
    executable = True,
)
