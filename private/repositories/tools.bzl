"""Declares uv for each platform, and the packages that the helper imports in module extensions."""

load("//private:versions.bzl", "PLATFORMS")
load(":build_text.bzl", "PUBLIC", "select_text", "target_text")
load(
    ":fetch.bzl",
    "FETCH_ATTRIBUTES",
    "fetch_first",
    "fetch_with_uv",
    "host_platform",
    "mark_reproducible",
    "probe_cache",
)

# Platform to the system and the machine in the name of a wheel of uv.
_TAGS = {
    "darwin_amd64": ("macosx", "x86_64"),
    "darwin_arm64": ("macosx", "arm64"),
    "linux_amd64": ("manylinux", "x86_64"),
    "linux_arm64": ("manylinux", "aarch64"),
}

# Repository rules run the file `uv`. Actions and programs run the target `program` for their platform.
_BUILD = target_text("exports_files", srcs = ["uv"], visibility = PUBLIC)

def _uv_platform_repo_impl(rctx):
    # The wheel contains a program, not a module, so it is compatible with every Python version. The helper selects
    # other wheels, but requires uv.
    start, end = _TAGS[rctx.attr.platform]
    wheels = [name for name in rctx.attr.files if "-none-" + start in name and name.endswith("_{}.whl".format(end))]
    if not wheels:
        fail(
            ("rules_bento can't build on {}, because uv {} has no wheel for this platform. Build on another " +
             "platform.").format(rctx.attr.platform, rctx.attr.version),
        )
    wheel = sorted(wheels)[-1]
    sha256 = rctx.attr.files[wheel]
    if not probe_cache(rctx, wheel, sha256):
        fetch_first(rctx, "uv=={}".format(rctx.attr.version), wheel, sha256)
    rctx.symlink(wheel, "uv.zip")

    # `extract` follows `../` in names. The lock of rules_bento has the hash of this wheel.
    rctx.extract("uv.zip", output = "wheel")
    rctx.delete("uv.zip")
    rctx.symlink("wheel/uv-{}.data/scripts/uv".format(rctx.attr.version), "uv")
    rctx.file("BUILD.bazel", _BUILD)
    return mark_reproducible(rctx)

# Fetches a wheel of uv, one of `files` (name to SHA-256), and extracts the executable.
_uv_platform_repo = repository_rule(
    implementation = _uv_platform_repo_impl,
    attrs = {
        "files": attr.string_dict(mandatory = True),
        "platform": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
    },
)

def _uv_repo_impl(rctx):
    by_platform = {platform: label for label, platform in rctx.attr.programs.items()}
    host = host_platform(rctx)
    rctx.symlink(rctx.path(by_platform[host]), "uv")
    cases = {platform: str(label) for platform, label in by_platform.items()}
    no_match = "rules_bento has uv only for {}. Build for one of these platforms.".format(", ".join(by_platform))
    rctx.file(
        "BUILD.bazel",
        _BUILD + target_text("alias", {"actual": select_text(cases, no_match)}, name = "program", visibility = PUBLIC),
    )

# Provides uv: the file `uv` for this machine, and the target `program` for the target platform. `programs` maps
# executables to platforms.
_uv_repo = repository_rule(
    implementation = _uv_repo_impl,
    attrs = {
        "programs": attr.label_keyed_string_dict(mandatory = True),
    },
)

def declare_uv(name, *, files, version):
    """Declares the repositories of uv, without fetching them. `files` maps the names of wheels to their SHA-256."""
    for platform in PLATFORMS:
        _uv_platform_repo(name = "{}_{}".format(name, platform), files = files, platform = platform, version = version)
    _uv_repo(name = name, programs = {"@{}_{}//:uv".format(name, platform): platform for platform in PLATFORMS})

_PURE = "-py3-none-any.whl"

def _helper_packages_repo_impl(rctx):
    for requirement, files in rctx.attr.packages.items():
        [(wheel, sha256)] = [(name, sha256) for name, sha256 in json.decode(files).items() if name.endswith(_PURE)]
        fetch_with_uv(rctx, requirement, wheel, sha256)
        rctx.symlink(wheel, wheel + ".zip")

        # As for uv: the hash is in the lock of rules_bento.
        rctx.extract(wheel + ".zip", output = "site-packages")
        rctx.delete(wheel + ".zip")
    rctx.file("BUILD.bazel")
    return mark_reproducible(rctx)

# Unpacks pure Python packages into the directory `site-packages`. The helper (the program that actions run) imports
# these packages when a module extension or a repository rule runs the helper, because both can't use toolchains.
# `packages` maps `name==version` to JSON: file name to SHA-256.
_helper_packages_repo = repository_rule(
    implementation = _helper_packages_repo_impl,
    attrs = {
        "packages": attr.string_dict(mandatory = True),
    } | FETCH_ATTRIBUTES,
)

def declare_helper_packages(name, lock, distributions):
    """Declares the repository of helper packages from a decoded lock. `distributions` lists their normalized names."""
    _helper_packages_repo(
        name = name,
        packages = {
            "{}=={}".format(package["name"], package["version"]): json.encode(package["files"])
            for package in lock["packages"]
            if package["name"] in distributions
        },
        uv = "@bento_uv//:uv",
    )
