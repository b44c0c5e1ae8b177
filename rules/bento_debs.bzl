"""Defines bento_debs, a program that writes a lock of Debian packages."""

load("//rules/private:attributes.bzl", "in_package", "label_string")
load("//rules/private:launcher.bzl", "RUN_RUNTIME", "helper_launcher")
load("//rules/private:providers.bzl", "BentoDebLockInfo")

def _arguments(ctx):
    arguments = []
    for flag, values in {
        "--architecture": ctx.attr.architectures,
        "--exclude": ctx.attr.excludes,
        "--package": ctx.attr.packages,
        "--suite": ctx.attr.suites,
    }.items():
        for value in values:
            arguments += [flag, value]
    return arguments

def _bento_debs_impl(ctx):
    shared = _arguments(ctx)
    launcher = helper_launcher(
        ctx,
        arguments = ["--target", label_string(ctx.label), "--lock", in_package(ctx.label, ctx.attr.lock)] + shared,
        files = depset(),
        subcommand = "update_debs",
    )
    return [
        BentoDebLockInfo(arguments = tuple(shared), update = ctx.label),
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
    ]

bento_debs = rule(
    implementation = _bento_debs_impl,
    doc = """Resolves Debian packages with apt, and writes the lock that `bento.apt` reads into the source tree.

```starlark
bento_debs(
    name = "debian.update",
    lock = "debian.lock.json",
    packages = ["base-files", "ca-certificates", "libc-bin", "python3"],
    suites = ["trixie", "trixie-updates", "trixie-security"],
)
```

`bazel run //:debian.update` needs apt-get. It uses its own directories and the mirror of the host's apt, or the mirror in
`-- --mirror URL`, where `{archive}` is replaced by `debian` or `debian-security`. `bento_debs_test` fails if the lock is stale.""",
    attrs = {
        "architectures": attr.string_list(default = ["amd64", "arm64"], doc = "Architectures to lock, by Debian's names."),
        "excludes": attr.string_list(doc = "Packages, including virtual ones, that apt treats as installed: dependencies that a service doesn't need."),
        "lock": attr.string(default = "debian.lock.json", doc = "File to write, relative to this package."),
        "packages": attr.string_list(doc = "Package names. Dependencies are included, recommendations aren't.", mandatory = True),
        "suites": attr.string_list(doc = "Names of Debian suites.", mandatory = True),
    } | RUN_RUNTIME,
    executable = True,
    provides = [BentoDebLockInfo],
)
