"""The interpreters that compile bytecode for images with another Python version than the toolchain's."""

load("//rules/private:providers.bzl", "BentoCompilersInfo", "BentoPythonInfo")  # buildifier: disable=bzl-visibility

bento_compilers = rule(
    implementation = lambda ctx: BentoCompilersInfo(pythons = tuple([target[BentoPythonInfo] for target in ctx.attr.pythons])),
    doc = "Interpreters that compile bytecode.",
    attrs = {
        "pythons": attr.label_list(cfg = "exec", doc = "One interpreter for each version.", providers = [BentoPythonInfo]),
    },
    provides = [BentoCompilersInfo],
)
