"""Defines bento_requirements, a program that writes a lock of Python packages."""

load("//rules/private:attributes.bzl", "label_string", "path_in_package")
load("//rules/private:launcher.bzl", "RUN_RUNTIME", "helper_launcher", "runfile", "runtime", "runtime_modules")
load("//rules/private:providers.bzl", "BentoLockInfo")
load("//toolchains:indexes.bzl", "INDEX_ATTRIBUTES", "encode_indexes")

# Third-party packages that the helper's subcommands for locks import.
RESOLUTION_PACKAGES = ["packaging", "pyyaml"]

def source_arguments(ctx, sources, constraints, overrides):
    """Returns the launcher arguments for requirements files, constraints, and overrides: flag, path, and short path of each file."""
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
    arguments = ["--target", label_string(ctx.label), "--lock", path_in_package(ctx, "lock"), "--uv", runfile(ctx, uv)] + shared
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
    doc = """Resolves requirements, and writes a lock for `bento.pypi` into the source tree.

```starlark
bento_requirements(
    name = "requirements.update",
    srcs = ["requirements.in"],
    lock = "requirements.lock.json",
)
```

`bazel run //:requirements.update` keeps each locked version that satisfies the requirements. `bento_requirements_test` fails if the lock is stale.

| option after `--` | effect |
|---|---|
| `--upgrade` | selects the newest version of each package |
| `--upgrade-package NAME` | selects the newest version of this package |
| `--from-bentofile FILE` | appends the packages of this bentofile to the first requirements file before locking |""",
    attrs = {
        "constraints": attr.label_list(
            allow_files = [".in", ".txt"],
            doc = "Constraints files: requirements files that only limit versions, as in `pip install -c`. A file in `srcs` that another file includes with `-c` is also a constraints file.",
        ),
        "extras": attr.string_list(default = ["*"], doc = "Extras in pyproject.toml to include in the lock. Default: all extras."),
        "groups": attr.string_list(default = ["*"], doc = "Dependency groups in pyproject.toml to include in the lock. Default: all groups."),
        "lock": attr.string(default = "requirements.lock.json", doc = "Output path, relative to this package. The file doesn't need to exist."),
        "overrides": attr.label_list(
            allow_files = [".in", ".txt"],
            doc = "Requirements files that override requirements in package metadata, as in `uv pip compile --override`. Use this attribute if a package declares wrong version limits. `tool.uv.override-dependencies` in pyproject.toml is also applied.",
        ),
        "platforms": attr.string_list(doc = "Platforms to lock: `linux_amd64`, `linux_arm64`, `darwin_arm64`, or `darwin_amd64`. Default: all platforms."),
        "requires_python": attr.string(default = ">=3.10", doc = "Python versions that the lock must support: a version specifier such as `>=3.10`."),
        "srcs": attr.label_list(
            allow_files = [".in", ".txt", ".toml", ".yaml", ".yml"],
            doc = "Files that declare requirements: requirements files, pyproject.toml, or bentofile.yaml. If a requirements file includes other files with `-r` or `-c`, also list the other files.",
            mandatory = True,
        ),
    } | INDEX_ATTRIBUTES | RUN_RUNTIME,
    executable = True,
    provides = [BentoLockInfo],
)
