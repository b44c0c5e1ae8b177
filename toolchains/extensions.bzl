"""The module extensions: `bento_tools` brings what actions run, `bento` what they build from."""

load("//toolchains:indexes.bzl", "INDEX_ATTRIBUTES", "encode_indexes")
load("//toolchains:versions.bzl", "PYTHON_VERSION")
load("//toolchains/private:absent_hub.bzl", "absent_hub_repo")
load("//toolchains/private:apt.bzl", "apt_tag", "declare_debs")
load("//toolchains/private:base.bzl", "base_tag", "declare_base")
load("//toolchains/private:compilers.bzl", "compilers_repo")
load("//toolchains/private:helper_packages.bzl", "declare_helper_packages")
load("//toolchains/private:host.bzl", "host_platform")
load("//toolchains/private:hub.bzl", "declare_hub", "wheel_settings")
load("//toolchains/private:hub_settings.bzl", "check_hub_settings", "known_record_errors")
load("//toolchains/private:locks.bzl", "absence_of_lock", "is_normal_form", "read_lock")
load("//toolchains/private:model.bzl", "declare_model", "model_tag")
load("//toolchains/private:python.bzl", "python_repo")
load("//toolchains/private:python_debs.bzl", "compiler_debs", "python_debs")
load("//toolchains/private:uv.bzl", "uv_repo")
load("//toolchains/private:wheel_tags.bzl", "DEFAULT_GLIBC")

_TOOLS_LOCK = Label("//toolchains:tools.lock.json")
_TOOLS_HUB = "bento_tools"
_TRANSPORTS_LOCK = Label("//toolchains:transports.lock.json")
_TRANSPORTS_HUB = "bento_transports"

# What a hub is for that names no platforms.
_PLATFORMS = ["linux_aarch64", "linux_x86_64", "macos_arm64", "macos_x86_64"]

def _declare_compilers(mctx):
    """Declares the interpreters that make byte code, each fetched only for images that ask for it."""
    names = []
    for module in mctx.modules:
        for tag in module.tags.compiler if module.is_root else []:
            name = "bento_compiler_" + tag.version.replace(".", "_")
            if name in names:
                fail("bento_tools.compiler(version = \"{}\") stands there twice: leave one".format(tag.version))
            names.append(name)
            debs = compiler_debs(mctx, tag, "bento_tools.compiler", name + "_debs")
            python_repo(
                name = name,
                debs = debs.files,
                interpreter = tag.interpreter,
                lock = tag.debian_lock,
                only_version = True,
                problem = debs.problem,
                uv = "@bento_uv//:uv",
                version = tag.version,
            )
    compilers_repo(name = "bento_compilers", pythons = ["@{}//:python".format(name) for name in names])

def _bento_tools_impl(mctx):
    interpreter, version, debs, debs_lock = "", PYTHON_VERSION, [], None
    for module in mctx.modules:
        # One interpreter runs all actions, so only the root module chooses it.
        if module.is_root and len(module.tags.python) > 1:
            fail("bento_tools.python stands there {} times: one interpreter runs all actions, so leave one".format(len(module.tags.python)))
        for tag in module.tags.python if module.is_root else []:
            interpreter, version, debs_lock = tag.interpreter, tag.version, tag.debian_lock
            debs = python_debs(mctx, tag, "bento_tools.python", "bento_python_debs")
    lock = read_lock(mctx, _TOOLS_LOCK, None)
    uv = [package for package in lock["packages"] if package["name"] == "uv"][0]
    uv_repo(name = "bento_uv", files = uv["files"], version = uv["version"])
    python_repo(
        name = "bento_python",
        debs = debs,
        interpreter = interpreter,
        lock = debs_lock,
        uv = "@bento_uv//:uv",
        version = version,
    )
    declare_helper_packages("bento_helper_packages", lock, ["packaging", "tomli"])
    _declare_compilers(mctx)
    for name, locked in {_TOOLS_HUB: lock, _TRANSPORTS_HUB: read_lock(mctx, _TRANSPORTS_LOCK, None)}.items():
        declare_hub(
            name = name,
            lock = locked,
            platforms = [host_platform(mctx)],
            settings = wheel_settings(
                # The tools are imported at the start of every action.
                compiler = "@bento_python//:path",
                glibc = DEFAULT_GLIBC,
                python_version = "",
            ),
        )
    return mctx.extension_metadata(reproducible = True)

_python = tag_class(
    doc = "The interpreter of the actions, for the root module to choose.",
    attrs = {
        "debian_lock": attr.label(doc = "A lock of Debian packages, `python3` and `patchelf` among them: the interpreter is made of these. Machines that run actions need no Python then."),
        "interpreter": attr.string(doc = "An interpreter of each machine, a path or a name on PATH. Default: one is fetched; where that fails, the build does."),
        "mirrors": attr.string_list(doc = "Where the packages of `debian_lock` are fetched from, as in `bento.apt`."),
        "version": attr.string(default = PYTHON_VERSION, doc = "The version to fetch, `X.Y` or `X.Y.Z`."),
    },
)

_compiler = tag_class(
    doc = "A further interpreter, for the root module to name: it makes the byte code of images whose Python is of another version than the actions'.",
    attrs = {
        "debian_lock": attr.label(doc = "As in `python`."),
        "interpreter": attr.string(doc = "An interpreter of each machine, a path or a name on PATH. Default: one is fetched; where that fails, the build does."),
        "mirrors": attr.string_list(doc = "As in `python`."),
        "version": attr.string(doc = "Its version, `X.Y`.", mandatory = True),
    },
)

bento_tools = module_extension(
    implementation = _bento_tools_impl,
    doc = "Brings uv, an interpreter, and the packages of the action helpers.",
    tag_classes = {"compiler": _compiler, "python": _python},
    os_dependent = True,
    arch_dependent = True,
)

def _build_hub(mctx, tag):
    """Declares the hub of what builds of wheels need, where a tag has a lock of it."""
    if not tag.build_lock:
        return None
    name = tag.name + "__build"
    if absence_of_lock(mctx, tag.build_lock):
        # Who builds a wheel is told that the lock has none of what that takes.
        return struct(hub = name, lock = str(tag.build_lock), packages = [])
    lock = read_lock(mctx, tag.build_lock, tag)
    declare_hub(
        name = name,
        lock = lock,
        platforms = [host_platform(mctx)],
        settings = wheel_settings(
            folders_from = tag.build_lock if tag.find_links else None,
            glibc = tag.glibc,
            indexes = encode_indexes(tag),
            # Builds run in the toolchain's interpreter, whatever the wheels are for.
            python_version = "",
        ),
    )
    packages = sorted({package["name"]: True for package in lock["packages"]})
    return struct(hub = name, lock = str(tag.build_lock), packages = packages)

def _hubs_by_version(tag):
    """The names of hubs of the same lock for other versions of Python."""
    return {version: "{}__python_{}".format(tag.name, version.replace(".", "_")) for version in tag.more_python_versions}

def _claim(owners, kind, tag, module):
    """Notes down whose repositories have the names that come of a tag, and fails if one has two owners."""
    further = [tag.name + "__build"] + _hubs_by_version(tag).values() if kind == "pypi" else []
    for name in [tag.name] + further:
        if name in owners:
            fail("bento.{}(name = \"{}\") stands in the modules {} and {}: choose another name for one".format(
                kind,
                name,
                owners[name],
                module.name,
            ))
        owners[name] = module.name

def _declare_hubs(mctx, tag):
    """Declares the hub of a tag, and one of the same lock for each other version of Python."""
    check_hub_settings(tag)
    problem = absence_of_lock(mctx, tag.lock)
    if problem:
        absent_hub_repo(name = tag.name, hub = tag.name, problem = problem)
        return
    lock = read_lock(mctx, tag.lock, tag)
    build = _build_hub(mctx, tag)
    record_errors = known_record_errors(tag, lock)
    if record_errors.problem:
        fail(record_errors.problem)
    others = _hubs_by_version(tag)
    for version, name in {tag.python_version: tag.name}.items() + others.items():
        declare_hub(
            name = name,
            build = build,
            lock = lock,
            platforms = tag.platforms or _PLATFORMS,
            settings = wheel_settings(
                folders_from = tag.lock if tag.find_links else None,
                glibc = tag.glibc,
                indexes = encode_indexes(tag),
                python_version = version,
                record_errors = record_errors.wheels,
            ),
            versions = others if name == tag.name else {},
        )

def _bento_impl(mctx):
    owners = {_TOOLS_HUB: "rules_bento"}
    reproducible = True
    for module in mctx.modules:
        for tag in module.tags.pypi:
            _claim(owners, "pypi", tag, module)
            _declare_hubs(mctx, tag)

            # uv is asked for the edges that these leave out, so Bazel's lock file keeps the answer.
            reproducible = reproducible and is_normal_form(tag.lock) and is_normal_form(tag.build_lock or tag.lock)
        for tag in module.tags.apt:
            _claim(owners, "apt", tag, module)
            declare_debs(mctx, tag)
        for tag in module.tags.base:
            _claim(owners, "base", tag, module)
            declare_base(tag)
        for tag in module.tags.model:
            _claim(owners, "model", tag, module)
            declare_model(tag)
    return mctx.extension_metadata(reproducible = reproducible)

_pypi = tag_class(
    doc = "A hub of the packages of a lock: `@<name>//<package>`.",
    attrs = {
        "build_lock": attr.label(
            doc = "A lock of what wheels are built with that the index does not have: build systems such as setuptools. Default: `lock`.",
        ),
        "extras": attr.string_list(default = ["*"], doc = "Of a `uv.lock`: the extras of the project that count. Default: all."),
        "glibc": attr.string(
            default = DEFAULT_GLIBC,
            doc = "The newest C library that a Linux wheel may ask for, `X.Y`.",
        ),
        "groups": attr.string_list(default = ["*"], doc = "Of a `uv.lock`: the dependency groups of the project that count. Default: all."),
        "lock": attr.label(
            doc = "The lock: requirements with hashes, `pylock.toml`, `uv.lock`, or the JSON that a `bento_requirements` target writes.",
            mandatory = True,
        ),
        "more_python_versions": attr.string_list(
            doc = "Further versions of Python, `X.Y`, that Bentos can be built for: a bento_package chooses one by `python_version`.",
        ),
        "name": attr.string(doc = "Name of the hub.", mandatory = True),
        "platforms": attr.string_list(
            doc = "What the wheels are for: `<os>_<machine>` of `linux_x86_64`, `linux_aarch64`, `macos_arm64`, `macos_x86_64`. Default: all of these; no wheel is fetched before it is needed.",
        ),
        "python_version": attr.string(default = PYTHON_VERSION, doc = "The Python that the packages are for, `X.Y`."),
        "record_errors": attr.string_list_dict(doc = "Packages to the hashes, `sha256:<hex>`, of wheels that images take although their RECORD is wrong, as the message says that refuses one. A bill of materials and the report of the layers say of which."),
    } | INDEX_ATTRIBUTES,
)

bento = module_extension(
    implementation = _bento_impl,
    doc = "Brings hubs of locked wheels and of locked Debian packages, base images and models.",
    tag_classes = {"apt": apt_tag, "base": base_tag, "model": model_tag, "pypi": _pypi},
    os_dependent = True,
    arch_dependent = True,
)
