"""Lists targets that analysis rejects, and the messages."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

def _refused_impl(ctx):
    env = analysistest.begin(ctx)
    for message in ctx.attr.messages:
        asserts.expect_failure(env, message)
    return analysistest.end(env)

refused_test = analysistest.make(
    _refused_impl,
    attrs = {"messages": attr.string_list(doc = "Parts of what is said.", mandatory = True)},
    expect_failure = True,
)
