"""Defines bento_debs, a program that writes the lock of Debian packages."""

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
        verb = "update_debs",
    )
    return [
        BentoDebLockInfo(arguments = tuple(shared), update = ctx.label),
        DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles),
    ]

bento_debs = rule(
    implementation = _bento_debs_impl,
    doc = """Lets apt resolve Debian packages, and writes the lock that `bento.apt` reads into the source tree.

```starlark
bento_debs(
    name = "debian.update",
    lock = "debian.lock.json",
    packages = ["base-files", "ca-certificates", "libc-bin", "python3"],
    suites = ["trixie", "trixie-updates", "trixie-security"],
)
```

`bazel run //:debian.update` needs apt-get; it uses folders of its own and the mirror that the host's apt uses, or the one
of `-- --mirror URL`, in which `{archive}` stands for `debian` or `debian-security`. `bento_debs_test` says when the lock is
stale.""",
    attrs = {
        "architectures": attr.string_list(default = ["amd64", "arm64"], doc = "What is locked for, as Debian names it."),
        "excludes": attr.string_list(doc = "Packages, also virtual ones, that apt takes for installed: what others depend on, but a service does not need."),
        "lock": attr.string(default = "debian.lock.json", doc = "The file to write, in this package."),
        "packages": attr.string_list(doc = "Names of the packages. What they depend on comes along, what they recommend does not.", mandatory = True),
        "suites": attr.string_list(doc = "Suites of Debian, by name.", mandatory = True),
    } | RUN_RUNTIME,
    executable = True,
    provides = [BentoDebLockInfo],
)
