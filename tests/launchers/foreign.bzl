"""A program as a launcher is whose interpreter is a path of the machine that built it."""

load("//private:launcher.bzl", "python_check")

def _foreign_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    check = python_check(ctx.label.name, ctx.attr.version)
    ctx.actions.write(program, "python={}\n{}exec \"$python\" run\n".format(ctx.attr.python, check), is_executable = True)
    return [DefaultInfo(files = depset([program]))]

foreign = rule(
    implementation = _foreign_impl,
    doc = "Writes what a launcher does before it starts its interpreter.",
    attrs = {
        "python": attr.string(doc = "The path of the interpreter.", mandatory = True),
        "version": attr.string(doc = "Its version.", mandatory = True),
    },
)
