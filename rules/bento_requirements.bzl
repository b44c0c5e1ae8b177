"""Defines bento_requirements, a program that writes the lock of a repository's packages."""

load("//rules/private:attributes.bzl", "in_package", "label_string")
load("//rules/private:launcher.bzl", "RUN_RUNTIME", "helper_launcher", "runfile", "runtime", "runtime_modules")
load("//rules/private:providers.bzl", "BentoLockInfo")
load("//toolchains:indexes.bzl", "INDEX_ATTRIBUTES", "encode_indexes")

# Packages that the verbs which read these files import.
RESOLUTION_PACKAGES = ["packaging", "pyyaml"]

def source_arguments(ctx, sources, constraints, overrides):
    """Names the files in a launcher's arguments.

    Args:
      ctx: the rule's context.
      sources: list of Files that state requirements.
      constraints: list of Files that limit versions.
      overrides: list of Files that stand for what packages ask of one another.

    Returns:
      A list of flags and values.
    """
    arguments = []
    for flag, files in {"--constraint": constraints, "--override": overrides, "--source": sources}.items():
        for file in files:
            arguments += [flag, runfile(ctx, file), file.short_path]
    return arguments

def _arguments(ctx):
    arguments = ["--requires-python", ctx.attr.requires_python]
    for flag, values in {"--extra": ctx.attr.extras, "--group": ctx.attr.groups, "--platform": ctx.attr.platforms}.items():
        for value in values:
            arguments += [flag, value]
    indexes = encode_indexes(ctx.attr)
    return arguments + (["--indexes", indexes] if indexes else [])

def _bento_requirements_impl(ctx):
    uv = runtime(ctx).uv
    shared = _arguments(ctx)
    arguments = ["--target", label_string(ctx.label), "--lock", in_package(ctx.label, ctx.attr.lock), "--uv", runfile(ctx, uv)] + shared
    arguments += source_arguments(ctx, ctx.files.srcs, ctx.files.constraints, ctx.files.overrides)
    launcher = helper_launcher(
        ctx,
        verb = "update_requirements",
        arguments = arguments,
        files = depset(ctx.files.srcs + ctx.files.constraints + ctx.files.overrides + [uv]),
        modules = runtime_modules(ctx, RESOLUTION_PACKAGES),
    )
    return [
        BentoLockInfo(
            arguments = tuple(shared),
            constraints = tuple(ctx.files.constraints),
            overrides = tuple(ctx.files.overrides),
            sources = tuple(ctx.files.srcs),
            update = ctx.label,
        ),
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
    ]

bento_requirements = rule(
    implementation = _bento_requirements_impl,
    doc = """Resolves what files ask for, and writes the lock that `bento.pypi` reads into the source tree.

```starlark
bento_requirements(
    name = "requirements.update",
    srcs = ["requirements.in"],
    lock = "requirements.lock.json",
)
```

`bazel run //:requirements.update` keeps the versions that are locked as far as they fit; `-- --upgrade` takes the
newest of all, `-- --upgrade-package NAME` of one, and `-- --from-bentofile FILE` first adds the packages of a bentofile
to the first requirements file. `bento_requirements_test` says when the lock is stale.""",
    attrs = {
        "constraints": attr.label_list(
            allow_files = [".in", ".txt"],
            doc = "Requirements files that limit versions and ask for no package, as `pip install -c` takes them. A file of `srcs` that another one names with `-c` is such a file, too.",
        ),
        "extras": attr.string_list(default = ["*"], doc = "Of a pyproject.toml: the extras that count. Default: all."),
        "groups": attr.string_list(default = ["*"], doc = "Of a pyproject.toml: the dependency groups that count. Default: all."),
        "lock": attr.string(default = "requirements.lock.json", doc = "The file to write, in this package. It need not be there yet."),
        "overrides": attr.label_list(
            allow_files = [".in", ".txt"],
            doc = "Requirements files that stand for what packages ask of one another, as `uv pip compile --override` takes them: for a package whose own limits are wrong. `tool.uv.override-dependencies` of a pyproject.toml counts, too.",
        ),
        "platforms": attr.string_list(doc = "What is locked for: `linux_x86_64`, `linux_aarch64`, `macos_arm64`, `macos_x86_64`. Default: all of them."),
        "requires_python": attr.string(default = ">=3.10", doc = "The versions of Python that the lock is for."),
        "srcs": attr.label_list(
            allow_files = [".in", ".txt", ".toml", ".yaml", ".yml"],
            doc = "Requirements files, pyproject.toml, bentofile.yaml. A requirements file that another one names with `-r` or `-c` has to be here as well, and counts where it is named.",
            mandatory = True,
        ),
    } | INDEX_ATTRIBUTES | RUN_RUNTIME,
    executable = True,
    provides = [BentoLockInfo],
)
