"""Defines bento_requirements, a program that writes a lock of Python packages."""

load("//rules/private:attributes.bzl", "in_package", "label_string")
load("//rules/private:launcher.bzl", "RUN_RUNTIME", "helper_launcher", "runfile", "runtime", "runtime_modules")
load("//rules/private:providers.bzl", "BentoLockInfo")
load("//toolchains:indexes.bzl", "INDEX_ATTRIBUTES", "encode_indexes")

# Packages that the subcommands for these files import.
RESOLUTION_PACKAGES = ["packaging", "pyyaml"]

def source_arguments(ctx, sources, constraints, overrides):
    """Returns the launcher arguments for the files of a lock: requirements, constraints, and overrides."""
    flags = {"--constraint": constraints, "--override": overrides, "--source": sources}
    return [word for flag, files in flags.items() for file in files for word in (flag, runfile(ctx, file), file.short_path)]

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
        subcommand = "update_requirements",
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
    doc = """Resolves requirements, and writes the lock for `bento.pypi` into the source tree.

```starlark
bento_requirements(
    name = "requirements.update",
    srcs = ["requirements.in"],
    lock = "requirements.lock.json",
)
```

`bazel run //:requirements.update` keeps the locked versions as far as they satisfy the requirements; `-- --upgrade` selects the
newest versions, `-- --upgrade-package NAME` the newest version of one package, and `-- --from-bentofile FILE` first adds the packages of a bentofile
to the first requirements file. `bento_requirements_test` fails if the lock is stale.""",
    attrs = {
        "constraints": attr.label_list(
            allow_files = [".in", ".txt"],
            doc = "Requirements files that only limit versions, as in `pip install -c`. A file of `srcs` that another file names with `-c` is also a constraints file.",
        ),
        "extras": attr.string_list(default = ["*"], doc = "Extras of a pyproject.toml to lock. Default: all."),
        "groups": attr.string_list(default = ["*"], doc = "Dependency groups of a pyproject.toml to lock. Default: all."),
        "lock": attr.string(default = "requirements.lock.json", doc = "File to write, relative to this package. The file doesn't need to exist."),
        "overrides": attr.label_list(
            allow_files = [".in", ".txt"],
            doc = "Requirements files that replace the requirements of packages, as in `uv pip compile --override`: for a package whose own limits are wrong. `tool.uv.override-dependencies` of a pyproject.toml is also used.",
        ),
        "platforms": attr.string_list(doc = "Platforms to lock: `linux_x86_64`, `linux_aarch64`, `macos_arm64`, `macos_x86_64`. Default: all."),
        "requires_python": attr.string(default = ">=3.10", doc = "Python versions that the lock supports."),
        "srcs": attr.label_list(
            allow_files = [".in", ".txt", ".toml", ".yaml", ".yml"],
            doc = "Requirements files, pyproject.toml, bentofile.yaml. Include files that another file names with `-r` or `-c`.",
            mandatory = True,
        ),
    } | INDEX_ATTRIBUTES | RUN_RUNTIME,
    executable = True,
    provides = [BentoLockInfo],
)
