"""Packages that the helper imports where no toolchain is there yet: in module extensions."""

load(":fetch.bzl", "FETCH_ATTRIBUTES", "fetch_with_uv", "mark_reproducible")

_PURE = "-py3-none-any.whl"

def _helper_packages_repo_impl(rctx):
    for requirement, files in rctx.attr.packages.items():
        [(wheel, sha256)] = [(name, sha256) for name, sha256 in json.decode(files).items() if name.endswith(_PURE)]
        fetch_with_uv(rctx, requirement, wheel, sha256)
        rctx.symlink(wheel, wheel + ".zip")
        rctx.extract(wheel + ".zip", output = "site-packages")
        rctx.delete(wheel + ".zip")
    rctx.file("BUILD.bazel")
    return mark_reproducible(rctx)

helper_packages_repo = repository_rule(
    implementation = _helper_packages_repo_impl,
    doc = "Packages of pure Python in one folder, `site-packages`.",
    attrs = {
        "packages": attr.string_dict(doc = "`name==version` to the files of the release and their SHA-256, as JSON.", mandatory = True),
    } | FETCH_ATTRIBUTES,
)

def declare_helper_packages(name, lock, distributions):
    """Declares the repository of some packages of a lock.

    Args:
      name: of the repository.
      lock: the lock, decoded.
      distributions: list of normalized names.
    """
    helper_packages_repo(
        name = name,
        packages = {
            "{}=={}".format(package["name"], package["version"]): json.encode(package["files"])
            for package in lock["packages"]
            if package["name"] in distributions
        },
        uv = "@bento_uv//:uv",
    )
