"""Variables of programs that `bazel run` and `bazel test` start."""

RUN_ENVIRONMENT = {
    "env": attr.string_dict(doc = "Variables of the program, as `bazel run` and `bazel test` start it; `$(rlocationpath LABEL)` and the like stand for files of `data` and `deps`, and `$(VAR)` for Make variables."),
    "env_inherit": attr.string_list(doc = "Names of variables that it has from where Bazel was started."),
}

def run_environment(ctx):
    """Returns what a rule provides for `bazel run` and `bazel test` from these attributes.

    Args:
      ctx: context of an executable rule with the attributes of `RUN_ENVIRONMENT`, `data` and `deps`.

    Returns:
      A RunEnvironmentInfo.
    """
    targets = ctx.attr.data + ctx.attr.deps
    return RunEnvironmentInfo(
        environment = {
            name: ctx.expand_make_variables("env", ctx.expand_location(value, targets), {})
            for name, value in ctx.attr.env.items()
        },
        inherited_environment = ctx.attr.env_inherit,
    )

def runfiles_of_attributes(ctx):
    """Returns the files of `data` and `deps` with their runfiles.

    The `__init__.py` that Bazel makes up in each folder below a py_binary are left out: among ours, they would part the
    namespace packages of wheels.

    Args:
      ctx: context of a rule with these attributes.

    Returns:
      A runfiles object.
    """
    needed = [target[DefaultInfo].default_runfiles for target in ctx.attr.data + ctx.attr.deps]
    return ctx.runfiles(
        files = ctx.files.data,
        root_symlinks = depset(transitive = [runfiles.root_symlinks for runfiles in needed]),
        symlinks = depset(transitive = [runfiles.symlinks for runfiles in needed]),
        transitive_files = depset(transitive = [runfiles.files for runfiles in needed]),
    )
