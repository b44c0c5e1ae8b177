"""The module extensions: `bento_tools` brings what actions run, `bento` what they build from."""

load("//toolchains/private:host.bzl", "host_platform")
load("//toolchains/private:hub.bzl", "declare_hub")
load("//toolchains/private:locks.bzl", "is_normal_form", "read_lock")
load("//toolchains/private:python.bzl", "python_repo")
load("//toolchains/private:uv.bzl", "uv_repo")
load("//toolchains/private:wheel_tags.bzl", "DEFAULT_GLIBC")

_TOOLS_LOCK = Label("//toolchains:tools.lock.json")
_TOOLS_HUB = "bento_tools"
_DEFAULT_PYTHON = "3.11"

def _bento_tools_impl(mctx):
    interpreter, version = "", _DEFAULT_PYTHON
    for module in mctx.modules:
        # One interpreter runs all actions, so only the root module chooses it.
        for tag in module.tags.python if module.is_root else []:
            interpreter, version = tag.interpreter, tag.version
    lock = read_lock(mctx, _TOOLS_LOCK, None)
    uv = [package for package in lock["packages"] if package["name"] == "uv"][0]
    uv_repo(name = "bento_uv", files = uv["files"], version = uv["version"])
    python_repo(name = "bento_python", interpreter = interpreter, uv = "@bento_uv//:uv", version = version)
    declare_hub(
        name = _TOOLS_HUB,
        glibc = DEFAULT_GLIBC,
        lock = lock,
        platforms = [host_platform(mctx)],
        python_version = "",
    )
    return mctx.extension_metadata(reproducible = True)

_python = tag_class(
    doc = "The interpreter of the actions, for the root module to choose.",
    attrs = {
        "interpreter": attr.string(doc = "Path of an interpreter on the host. Default: one is fetched."),
        "version": attr.string(default = _DEFAULT_PYTHON, doc = "The version to fetch, `X.Y` or `X.Y.Z`."),
    },
)

bento_tools = module_extension(
    implementation = _bento_tools_impl,
    doc = "Brings uv, an interpreter, and the packages of the action helpers.",
    tag_classes = {"python": _python},
    os_dependent = True,
    arch_dependent = True,
)

def _bento_impl(mctx):
    owners = {_TOOLS_HUB: "rules_bento"}
    reproducible = True
    for module in mctx.modules:
        for tag in module.tags.pypi:
            if tag.name in owners:
                fail("bento.pypi(name = \"{}\") stands in the modules {} and {}: choose another name for one".format(
                    tag.name,
                    owners[tag.name],
                    module.name,
                ))
            owners[tag.name] = module.name
            declare_hub(
                name = tag.name,
                glibc = tag.glibc,
                lock = read_lock(mctx, tag.lock, tag),
                platforms = tag.platforms or [host_platform(mctx)],
                python_version = tag.python_version,
            )

            # uv is asked for the edges that these leave out, so Bazel's lock file keeps the answer.
            reproducible = reproducible and is_normal_form(tag.lock)
    return mctx.extension_metadata(reproducible = reproducible)

_pypi = tag_class(
    doc = "A hub of the packages of a lock: `@<name>//<package>`.",
    attrs = {
        "extras": attr.string_list(default = ["*"], doc = "Of a `uv.lock`: the extras of the project that count. Default: all."),
        "glibc": attr.string(
            default = DEFAULT_GLIBC,
            doc = "The newest C library that a Linux wheel may ask for, `X.Y`.",
        ),
        "groups": attr.string_list(default = ["*"], doc = "Of a `uv.lock`: the dependency groups of the project that count. Default: all."),
        "lock": attr.label(
            doc = "The lock: requirements with hashes, `pylock.toml`, `uv.lock`, or the JSON that `bento lock` writes.",
            mandatory = True,
        ),
        "name": attr.string(doc = "Name of the hub.", mandatory = True),
        "platforms": attr.string_list(
            doc = "What the wheels are for: `<os>_<machine>` of `linux_x86_64`, `linux_aarch64`, `macos_arm64`, `macos_x86_64`. Default: the host.",
        ),
        "python_version": attr.string(doc = "`X.Y`. Default: that of the toolchain's interpreter."),
    },
)

bento = module_extension(
    implementation = _bento_impl,
    doc = "Brings hubs of locked wheels.",
    tag_classes = {"pypi": _pypi},
    os_dependent = True,
    arch_dependent = True,
)
