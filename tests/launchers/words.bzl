"""A program of words as launchers have them, and what a word cannot be."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

# buildifier: disable=bzl-visibility - what is under test
load("//rules/private:shell.bzl", "shell_word")

def _words_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    words = [shell_word(word, ctx.label) for word in ctx.attr.words]
    ctx.actions.write(program, "printf '%s\\n' " + " ".join(words) + "\n")
    return [DefaultInfo(files = depset([program]))]

words = rule(
    implementation = _words_impl,
    doc = "A script that prints words, one to a line.",
    attrs = {"words": attr.string_list(doc = "The words.", mandatory = True)},
)

def _refused_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "has a line break, which no word of a program can have: leave it out")
    return analysistest.end(env)

refused_test = analysistest.make(_refused_impl, expect_failure = True)
