"""Defines bento_cloud_push, a program that pushes a Bento to BentoCloud or Yatai."""

load("//rules/private:bento_command.bzl", "SRC", "store_program")
load("//rules/private:launcher.bzl", "RUN_RUNTIME")

def _bento_cloud_push_impl(ctx):
    words = ["--context", ctx.attr.cloud_context] if ctx.attr.cloud_context else []
    if ctx.attr.force:
        words.append("--force")
    return store_program(ctx, verb = "push", words = words)

bento_cloud_push = rule(
    implementation = _bento_cloud_push_impl,
    doc = """A program, for `bazel run`, that pushes a Bento and its models to BentoCloud or Yatai: what is missing there.

Who pushes is found out when it runs: `BENTO_CLOUD_API_KEY` and `BENTO_CLOUD_API_ENDPOINT`, else the contexts of
`bento cloud login` (or BentoML's). For OCI registries there is `bento_push`.""",
    attrs = {
        "cloud_context": attr.string(doc = "The context. Default: the current one."),
        "force": attr.bool(doc = "Whether what the cloud has under the tag is replaced."),
        "src": SRC,
    } | RUN_RUNTIME,
    executable = True,
)
