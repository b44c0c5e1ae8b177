"""Defines bento_debs, which declares a program that writes a lock of Debian packages, and a test of the lock."""

load("//private:attributes.bzl", "label_string", "path_in_package")
load("//private:launcher.bzl", "RUN_RUNTIME", "TEST_RUNTIME", "helper_launcher")

def _launcher(ctx, subcommand, flags):
    """Declares a program that runs a subcommand for locks. Returns the DefaultInfo of the program."""
    launcher = helper_launcher(ctx, subcommand, flags | {
        "--architecture": ctx.attr.architectures,
        "--exclude": ctx.attr.excludes,
        "--package": ctx.attr.packages,
        "--suite": ctx.attr.suites,
    })
    return DefaultInfo(executable = launcher.executable, runfiles = launcher.runfiles)

def _update_impl(ctx):
    return _launcher(ctx, "update_debs", {"--lock": path_in_package(ctx, "lock")})

def _test_impl(ctx):
    return [
        _launcher(ctx, "check_debs", {
            "--update": label_string(ctx.label).removesuffix("_test") + ".update",
            "--lock": (ctx.file.lock, ctx.file.lock.short_path),
        }),
        testing.ExecutionInfo({"block-network": "1"}),
    ]

# Default: what an interpreter of rules_python and most wheels need. No image runs the scripts that need the excluded
# packages.
_PACKAGES = [
    "base-files",
    "ca-certificates",
    "libbz2-1.0",
    "libc-bin",
    "libcrypt1",
    "libffi8",
    "libgomp1",
    "liblzma5",
    "libsqlite3-0",
    "libssl3t64",
    "libstdc++6",
    "libuuid1",
    "netbase",
    "tzdata",
    "zlib1g",
]
_EXCLUDES = ["awk", "debconf", "dpkg", "openssl", "openssl-provider-legacy"]
_SUITES = ["trixie", "trixie-updates", "trixie-security"]

_ATTRIBUTES = {
    "architectures": attr.string_list(),
    "excludes": attr.string_list(),
    "packages": attr.string_list(mandatory = True),
    "suites": attr.string_list(mandatory = True),
}

bento_debs_update = rule(
    implementation = _update_impl,
    doc = "Writes a lock of Debian packages into the source tree.",
    attrs = _ATTRIBUTES | RUN_RUNTIME | {"lock": attr.string(mandatory = True)},
    executable = True,
)

bento_debs_test = rule(
    implementation = _test_impl,
    doc = "Tests that a lock matches the packages that it was written for.",
    attrs = _ATTRIBUTES | TEST_RUNTIME | {"lock": attr.label(allow_single_file = [".json"], mandatory = True)},
    test = True,
)

def bento_debs(
        name,
        *,
        packages = None,
        suites = _SUITES,
        architectures = ["amd64", "arm64"],
        excludes = None,
        lock = None,
        **kwargs):
    """Resolves Debian packages.

    `<name>.update` writes a lock for `bento_files.apt`, and `<name>_test` tests the lock.

    ```starlark
    bento_debs(
        name = "debian",
        packages = ["base-files", "ca-certificates", "libc-bin", "python3"],
        suites = ["trixie", "trixie-updates", "trixie-security"],
    )
    ```

    `bazel run //:debian.update` writes debian.lock.json with apt-get, without changing the apt state of this machine.
    `-- --mirror URL` selects another
    mirror than the configured one; `{archive}` in the URL is `debian` or `debian-security`. `debian_test` fails,
    without a network, if the lock is stale.

    Args:
      name: prefix of the names of the targets.
      packages: packages to lock, with dependencies, but without recommended packages. Default: a base for an
        interpreter of rules_python, without
        the packages in `excludes` that only scripts need.
      suites: Debian suites. Default: Debian 13 (`trixie`, `trixie-updates`, and `trixie-security`).
      architectures: Debian architectures.
      excludes: packages, also virtual ones, that apt treats as installed, such as dependencies that a service doesn't
        need.
      lock: path of the lock, relative to this package. Default: `<name>.lock.json`.
      **kwargs: common attributes of both targets.
    """
    excludes = excludes or ([] if packages else _EXCLUDES)
    packages = packages or _PACKAGES
    shared = kwargs | {
        "architectures": architectures,
        "excludes": excludes,
        "lock": lock or name + ".lock.json",
        "packages": packages,
        "suites": suites,
    }
    bento_debs_update(name = name + ".update", **shared)
    bento_debs_test(name = name + "_test", **shared)
