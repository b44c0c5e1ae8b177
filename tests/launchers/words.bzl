"""A program of words as launchers have them."""

load("//private:launcher.bzl", "shell_word")

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
