"""The interpreters that make byte code for images of other versions of Python than the toolchain's."""

load("//rules/private:providers.bzl", "BentoCompilersInfo", "BentoPythonInfo")  # buildifier: disable=bzl-visibility

bento_compilers = rule(
    implementation = lambda ctx: BentoCompilersInfo(pythons = tuple([target[BentoPythonInfo] for target in ctx.attr.pythons])),
    doc = "Interpreters that make byte code.",
    attrs = {
        "pythons": attr.label_list(cfg = "exec", doc = "One for each version.", providers = [BentoPythonInfo]),
    },
    provides = [BentoCompilersInfo],
)
