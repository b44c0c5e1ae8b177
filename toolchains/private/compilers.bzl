"""The repository that names the interpreters that make byte code."""

_BUILD = """\
load("@rules_bento//toolchains:compilers.bzl", "bento_compilers")

bento_compilers(
    name = "compilers",
    pythons = {},
    visibility = ["//visibility:public"],
)
"""

compilers_repo = repository_rule(
    implementation = lambda rctx: rctx.file("BUILD.bazel", _BUILD.format(json.encode([str(label) for label in rctx.attr.pythons]))),
    doc = "A target with all interpreters that make byte code.",
    attrs = {
        "pythons": attr.label_list(doc = "One for each version."),
    },
)
