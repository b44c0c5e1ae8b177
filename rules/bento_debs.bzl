"""Defines bento_debs, a program that writes a lock of Debian packages."""

load("//rules/private:attributes.bzl", "label_string", "path_in_package")
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
        arguments = ["--target", label_string(ctx.label), "--lock", path_in_package(ctx, "lock")] + shared,
        files = depset(),
        subcommand = "update_debs",
    )
    return [
        BentoDebLockInfo(arguments = tuple(shared), update = ctx.label),
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
    ]

bento_debs = rule(
    implementation = _bento_debs_impl,
    doc = """Resolves Debian packages with apt, and writes a lock for `bento.apt` into the source tree.

```starlark
bento_debs(
    name = "debian.update",
    lock = "debian.lock.json",
    packages = ["base-files", "ca-certificates", "libc-bin", "python3"],
    suites = ["trixie", "trixie-updates", "trixie-security"],
)
```

`bazel run //:debian.update` requires apt-get, but doesn't change the apt state of this machine. The default mirror is the mirror in the apt
configuration of this machine. To use another mirror, pass `-- --mirror URL`. In the URL, `{archive}` is replaced by `debian` or
`debian-security`. `bento_debs_test` fails if the lock is stale.""",
    attrs = {
        "architectures": attr.string_list(default = ["amd64", "arm64"], doc = "Debian architectures to include in the lock, such as `amd64`."),
        "excludes": attr.string_list(doc = "Packages to exclude from the lock, such as dependencies that a service doesn't need. apt treats these packages as installed. Names of virtual packages are also supported."),
        "lock": attr.string(default = "debian.lock.json", doc = "Output path of the lock, relative to this package."),
        "packages": attr.string_list(doc = "Names of the packages to lock. The lock includes dependencies, but not recommended packages.", mandatory = True),
        "suites": attr.string_list(doc = "Names of the Debian suites that provide the packages, such as `trixie`.", mandatory = True),
    } | RUN_RUNTIME,
    executable = True,
    provides = [BentoDebLockInfo],
)
