"""The repository of uv, the resolver."""

load(":fetch.bzl", "fetch_with_pip", "probe_cache")
load(":host.bzl", "host_platform")
load(":wheel_tags.bzl", "best_wheel")

_BUILD = """\
exports_files(["uv"], visibility = ["//visibility:public"])
"""

def _uv_repo_impl(rctx):
    platform = host_platform(rctx)

    # uv is a program, not a module: any version of Python fits.
    wheel = best_wheel(rctx.attr.files.keys(), platform, "3.10")
    if not wheel:
        fail("uv {} has no build for {}".format(rctx.attr.version, platform))
    sha256 = rctx.attr.files[wheel]
    if not probe_cache(rctx, wheel, sha256):
        fetch_with_pip(rctx, "uv==" + rctx.attr.version, wheel, sha256)
    rctx.symlink(wheel, "uv.zip")
    rctx.extract("uv.zip", output = "wheel")
    rctx.symlink("wheel/uv-{}.data/scripts/uv".format(rctx.attr.version), "uv")
    rctx.execute(["chmod", "+x", "uv"])
    rctx.file("BUILD.bazel", _BUILD)

uv_repo = repository_rule(
    implementation = _uv_repo_impl,
    doc = "uv, taken out of its wheel.",
    attrs = {
        "files": attr.string_dict(doc = "File name to SHA-256 of the wheels of the release.", mandatory = True),
        "version": attr.string(doc = "The release.", mandatory = True),
    },
)
