"""Repositories of a wheel: the file, and its modules for those who import them. Each is fetched when it is asked for."""

load(":fetch.bzl", "fetch_with_uv", "host_python")
load(":wheel_tags.bzl", "best_wheel")

_ATTRIBUTES = {
    "distribution": attr.string(doc = "Normalized name of the package.", mandatory = True),
    "version": attr.string(doc = "Its version.", mandatory = True),
}

_WHEEL_BUILD = """\
load("@rules_bento//rules/private:locked_wheel.bzl", "locked_wheel")

locked_wheel(
    name = "wheel",
    distribution = "{distribution}",
    file = "{wheel}",
    python_version = "{python_version}",
    size = {size},
    version = "{version}",
    visibility = ["//visibility:public"],
)
"""

# Prints the size of a file; Starlark cannot ask for it.
_SIZE = "import os, sys; print(os.path.getsize(sys.argv[1]))"

_MODULES_BUILD = """\
load("@rules_bento//rules/private:wheel_modules.bzl", "wheel_modules")

wheel_modules(
    name = "modules",
    srcs = glob(["site-packages/**"]),
    distribution = "{distribution}",
    import_roots = {roots},
    version = "{version}",
    wheel = "{wheel}",
    visibility = ["//visibility:public"],
)
"""

def python_version(rctx):
    """The version of Python that a hub is for: the given one, else that of the toolchain's interpreter.

    Args:
      rctx: the repository context of a rule with the attributes `python` and `python_version`.

    Returns:
      `X.Y` or `X.Y.Z`.
    """
    return rctx.attr.python_version or rctx.read(rctx.attr.python)

def _size(rctx, wheel):
    """The bytes of a wheel, by which images plan their layers."""
    done = rctx.execute([host_python(rctx), "-I", "-S", "-c", _SIZE, wheel])
    return int(done.stdout.strip())

def _wheel_repo_impl(rctx):
    version = python_version(rctx)
    wheel = best_wheel(rctx.attr.files.keys(), rctx.attr.platform, version, rctx.attr.glibc)
    requirement = "{}=={}".format(rctx.attr.distribution, rctx.attr.version)
    refused = best_wheel(rctx.attr.refused, rctx.attr.platform, version, rctx.attr.glibc)
    if not wheel and refused:
        fail("{}: the index has {}, but its hash is not in the lock: lock again".format(requirement, refused))
    if not wheel:
        fail("{} has no wheel for {} with CPython {} and glibc {}; the lock has:\n  {}".format(
            requirement,
            rctx.attr.platform,
            version,
            rctx.attr.glibc,
            "\n  ".join(sorted(rctx.attr.files.keys())),
        ))
    fetch_with_uv(rctx, rctx.path(rctx.attr.uv), requirement, wheel, rctx.attr.files[wheel])
    rctx.file("name", wheel)
    rctx.file("BUILD.bazel", _WHEEL_BUILD.format(
        distribution = rctx.attr.distribution,
        python_version = ".".join(version.split(".")[:2]),
        size = _size(rctx, wheel),
        version = rctx.attr.version,
        wheel = wheel,
    ))

wheel_repo = repository_rule(
    implementation = _wheel_repo_impl,
    doc = "The wheel of one release that fits a platform.",
    attrs = _ATTRIBUTES | {
        "files": attr.string_dict(doc = "File name to SHA-256, all files of the release.", mandatory = True),
        "glibc": attr.string(doc = "The newest C library that a wheel may ask for.", mandatory = True),
        "platform": attr.string(doc = "`<os>_<machine>`.", mandatory = True),
        "python": attr.label(doc = "File with the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Takes precedence over `python`."),
        "refused": attr.string_list(doc = "Files of the release whose hash is not in the lock."),
        "uv": attr.label(doc = "The client that knows the index.", mandatory = True),
    },
)

def _wheel_modules_repo_impl(rctx):
    repository = rctx.path(rctx.attr.wheel).dirname
    wheel = repository.get_child(rctx.read(rctx.attr.wheel))

    # Bazel goes by the ending of an archive and does not know this one.
    rctx.symlink(wheel, "wheel.zip")
    rctx.extract("wheel.zip", output = "site-packages")
    rctx.delete("wheel.zip")
    roots = ["site-packages"]
    for entry in rctx.path("site-packages").readdir():
        if entry.basename.endswith(".data"):
            roots += [
                "site-packages/{}/{}".format(entry.basename, part)
                for part in ("purelib", "platlib")
                if entry.get_child(part).exists
            ]
    rctx.file("BUILD.bazel", _MODULES_BUILD.format(
        distribution = rctx.attr.distribution,
        roots = repr(roots),
        version = rctx.attr.version,
        wheel = str(rctx.attr.wheel).removesuffix(":name") + ":wheel",
    ))

wheel_modules_repo = repository_rule(
    implementation = _wheel_modules_repo_impl,
    doc = "The modules of a wheel, unpacked.",
    attrs = _ATTRIBUTES | {
        "wheel": attr.label(doc = "The file `name` of the wheel's repository.", mandatory = True),
    },
)
