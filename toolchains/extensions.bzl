"""The module extensions: `bento_tools` brings what actions run, `bento` what they build from."""

load("//toolchains:indexes.bzl", "INDEX_ATTRIBUTES", "encode_indexes")
load("//toolchains:versions.bzl", "PYTHON_VERSION")
load("//toolchains/private:absent_hub.bzl", "absent_hub_repo")
load("//toolchains/private:apt.bzl", "apt_tag", "declare_debs")
load("//toolchains/private:base.bzl", "base_tag", "declare_base")
load("//toolchains/private:compilers.bzl", "compilers_repo")
load("//toolchains/private:helper_packages.bzl", "declare_helper_packages")
load("//toolchains/private:hub.bzl", "declare_hub", "wheel_settings")
load("//toolchains/private:hub_packages.bzl", "lock_repo_name")
load("//toolchains/private:hub_settings.bzl", "PLATFORMS", "check_hub_settings", "known_excludes", "known_record_mismatches")
load("//toolchains/private:interpreters.bzl", "declare_python")
load("//toolchains/private:locks.bzl", "absence_of_lock", "read_lock")
load("//toolchains/private:model.bzl", "declare_model", "model_tag")
load("//toolchains/private:uv.bzl", "declare_uv")
load("//toolchains/private:wheel_tags.bzl", "DEFAULT_GLIBC", "DEFAULT_MACOS")

# The repositories that this module's own files name.
_OWN = ["bento_compilers", "bento_helper_packages", "bento_python", "bento_tools", "bento_transports", "bento_uv"]
_TOOLS_LOCK = Label("//toolchains:tools.lock.json")
_TOOLS_HUB = "bento_tools"
_TRANSPORTS_LOCK = Label("//toolchains:transports.lock.json")
_TRANSPORTS_HUB = "bento_transports"

def _declare_compilers(mctx):
    """Declares the interpreters that make byte code, each fetched only for images that ask for it."""
    names = []
    for module in mctx.modules:
        for tag in module.tags.compiler if module.is_root else []:
            name = "bento_compiler_" + tag.version.replace(".", "_")
            if name in names:
                fail("bento_tools.compiler(version = \"{}\") stands there twice: leave one".format(tag.version))
            names.append(name)
            declare_python(mctx, name = name, exact = True, kind = "compiler", tag = tag)
    compilers_repo(name = "bento_compilers", pythons = ["@{}//:python".format(name) for name in names])

def _bento_tools_impl(mctx):
    chosen = None
    for module in mctx.modules:
        # One interpreter runs all actions, so only the root module chooses it.
        if module.is_root and len(module.tags.python) > 1:
            fail("bento_tools.python stands there {} times: one interpreter runs all actions, so leave one".format(len(module.tags.python)))
        for tag in module.tags.python if module.is_root else []:
            chosen = tag
    declare_python(mctx, name = "bento_python", kind = "python", tag = chosen)
    lock = read_lock(mctx, _TOOLS_LOCK, None)
    uv = [package for package in lock["packages"] if package["name"] == "uv"][0]
    declare_uv("bento_uv", files = uv["files"], version = uv["version"])
    declare_helper_packages("bento_helper_packages", lock, ["packaging", "tomli"])
    _declare_compilers(mctx)
    for name, locked in {_TOOLS_HUB: lock, _TRANSPORTS_HUB: read_lock(mctx, _TRANSPORTS_LOCK, None)}.items():
        declare_hub(
            name = name,
            lock = locked,
            platforms = PLATFORMS,
            settings = wheel_settings(
                # Of those that are not packed: pip-tools is imported by each action that locks with it.
                compiler = "@bento_python//:path",
                newest = struct(glibc = DEFAULT_GLIBC, macos = DEFAULT_MACOS),
                python_version = "",
            ),
        )

    # Other modules name none of these repositories; they reach them by the toolchain.
    own = [module for module in mctx.modules if module.is_root and module.name == "rules_bento"]
    return mctx.extension_metadata(
        reproducible = True,
        root_module_direct_deps = _OWN if own else [],
        root_module_direct_dev_deps = [],
    )

_python = tag_class(
    doc = "The interpreter of the actions, for the root module to choose.",
    attrs = {
        "debian_lock": attr.label(doc = "A lock of Debian packages, `python3` and `patchelf` among them: the interpreter is made of these. Machines that run actions need no Python then."),
        "interpreter": attr.string(doc = "An interpreter of each machine, a path or a name on PATH: the host's, which no build takes without this."),
        "mirrors": attr.string_list(doc = "Where the packages of `debian_lock` are fetched from, as in `bento.apt`."),
        "version": attr.string(doc = "Without `debian_lock` and `interpreter`: which of the toolchains of rules_python, `X.Y`. Default: " + PYTHON_VERSION + ", or the newest where rules_python has none of that version."),
    },
)

_compiler = tag_class(
    doc = "A further interpreter, for the root module to name: it makes the byte code of images whose Python is of another version than the actions'.",
    attrs = {
        "debian_lock": attr.label(doc = "As in `python`."),
        "interpreter": attr.string(doc = "As in `python`. Without it and `debian_lock`, the interpreter is that of rules_python's toolchain for the version."),
        "mirrors": attr.string_list(doc = "As in `python`."),
        "version": attr.string(doc = "Its version, `X.Y`.", mandatory = True),
    },
)

bento_tools = module_extension(
    implementation = _bento_tools_impl,
    doc = "Brings uv, an interpreter, and the packages of the action helpers.",
    tag_classes = {"compiler": _compiler, "python": _python},
)

def _build_hub(mctx, tag):
    """Declares the hub of what builds of wheels need, where a tag has a lock of it."""
    if not tag.build_lock:
        return None
    name = tag.name + "__build"
    if absence_of_lock(mctx, tag.build_lock):
        # An empty hub: a build of a wheel then fails with the name of the build requirement that it lacks.
        return struct(hub = name, lock = str(tag.build_lock), packages = [])
    lock = read_lock(mctx, tag.build_lock, tag)
    declare_hub(
        name = name,
        lock = lock,
        platforms = PLATFORMS,
        settings = wheel_settings(
            folders_from = tag.build_lock if tag.find_links else None,
            indexes = encode_indexes(tag),
            newest = tag,
            # Builds run in the toolchain's interpreter, whatever the wheels are for.
            python_version = "",
        ),
    )
    packages = sorted({package["name"]: True for package in lock["packages"]})
    return struct(hub = name, lock = str(tag.build_lock), packages = packages)

def _hubs_by_version(tag):
    """Returns the names of hubs of the same lock for other versions of Python."""
    return {version: "{}__python_{}".format(tag.name, version.replace(".", "_")) for version in tag.more_python_versions}

def _said(tag):
    """Returns the attributes of a tag, to be compared."""
    return {name: str(getattr(tag, name)) for name in dir(tag)}

def _is_new(claims, kind, tag, module):
    """Records who claims the names of the repositories that a tag declares.

    Args:
      claims: by name; changed.
      kind: of the tag.
      tag: the tag.
      module: that has it.

    Returns:
      Whether the repositories are to be declared: not where another tag has said the same before. Fails if one says otherwise.
    """
    names = [tag.name]
    if kind == "pypi":
        names += [tag.name + "__build"] + _hubs_by_version(tag).values()
        names += [lock_repo_name(name) for name in names]

    # The root module need not have a name; then it is called as Bazel's own messages call it.
    here = module.name or "<root>"
    for name in names:
        if name not in claims:
            continue
        first = claims[name]
        if first.kind == kind and first.said == _said(tag):
            return False
        differences = [key for key, value in _said(tag).items() if first.said.get(key) != value]
        problem = "{} differ".format(", ".join(differences)) if first.kind == kind else "one is a bento.{}".format(first.kind)
        said = "bento.{}(name = \"{}\")".format(kind, name)
        if first.module == here:
            fail("{} stands twice in the module {}, and {}: leave one, or give one another name".format(said, here, problem))
        fail("{said} stands in the modules {one} and {two}, and {problem}: give one another name, and keep its BUILD files by use_repo(bento, {name} = \"{name}_{new}\")".format(
            name = name,
            new = module.name or "mine",
            one = first.module,
            problem = problem,
            said = said,
            two = here,
        ))
    for name in names:
        claims[name] = struct(kind = kind, module = here, said = _said(tag))
    return True

def _declare_hubs(mctx, tag):
    """Declares the hub of a tag, and one of the same lock for each other version of Python."""
    check_hub_settings(tag)
    problem = absence_of_lock(mctx, tag.lock)
    if problem:
        absent_hub_repo(name = tag.name, hub = tag.name, problem = problem)
        return
    lock = read_lock(mctx, tag.lock, tag)
    build = _build_hub(mctx, tag)
    mismatches = known_record_mismatches(tag, lock)
    excludes = known_excludes(tag, lock)
    for problem in (mismatches.problem, excludes.problem):
        if problem:
            fail(problem)
    special = struct(exclude = excludes.own, exclude_preset = excludes.preset, allow_record_mismatch = mismatches.wheels)
    others = _hubs_by_version(tag)
    for version, name in {tag.python_version: tag.name}.items() + others.items():
        declare_hub(
            name = name,
            build = build,
            lock = lock,
            platforms = tag.platforms or PLATFORMS,
            settings = wheel_settings(
                folders_from = tag.lock if tag.find_links else None,
                indexes = encode_indexes(tag),
                newest = tag,
                python_version = version,
                special = special,
            ),
            versions = others if name == tag.name else {},
        )

def _declare(mctx, kind, tag):
    if kind == "pypi":
        _declare_hubs(mctx, tag)
    elif kind == "apt":
        declare_debs(mctx, tag)
    elif kind == "base":
        declare_base(tag)
    else:
        declare_model(tag)

def _bento_impl(mctx):
    claims = {name: struct(kind = "pypi", module = "rules_bento", said = {}) for name in (_TOOLS_HUB, _TRANSPORTS_HUB)}
    direct, direct_dev = {}, {}
    for module in mctx.modules:
        for kind in ("pypi", "apt", "base", "model"):
            for tag in getattr(module.tags, kind):
                if _is_new(claims, kind, tag, module):
                    _declare(mctx, kind, tag)
                if module.is_root:
                    (direct_dev if mctx.is_dev_dependency(tag) else direct)[tag.name] = True

    # What is declared follows from the locks by their hashes, so nothing of it has to be in Bazel's lock file: there it would be
    # megabytes for a lock that uv reads.
    return mctx.extension_metadata(
        reproducible = True,
        root_module_direct_deps = direct.keys(),
        root_module_direct_dev_deps = [name for name in direct_dev if name not in direct],
    )

_pypi = tag_class(
    doc = "A hub of the packages of a lock: `@<name>//<package>`.",
    attrs = {
        "allow_record_mismatch": attr.string_list_dict(doc = "Packages to the hashes, `sha256:<hex>`, of wheels that images take although their RECORD is wrong, as the message says that refuses one. A bill of materials and the report of the layers say of which."),
        "build_lock": attr.label(
            doc = "A lock of what wheels are built with that the index does not have: build systems such as setuptools. Default: `lock`.",
        ),
        "exclude": attr.string_list_dict(doc = "Packages to patterns of files of their wheels that images leave out, written as those of a bentofile's `exclude`: `{\"acme\": [\"acme/tests/\", \"*.a\"]}`; `acme@linux_x86_64` for a platform's wheels alone. Default: none. RECORD has what is left; the report of the layers and a bill of materials say how much is not. What runs outside of images has whole wheels."),
        "exclude_presets": attr.string_list(doc = "Further patterns, known here: `serving_torch` leaves out of torch and triton what only who builds against them needs."),
        "extras": attr.string_list(default = ["*"], doc = "Of a `uv.lock`: the extras of the project that count. Default: all, an error where two of them conflict (`tool.uv.conflicts`)."),
        "glibc": attr.string(
            default = DEFAULT_GLIBC,
            doc = "The newest C library that a Linux wheel may ask for, `X.Y`.",
        ),
        "groups": attr.string_list(default = ["*"], doc = "Of a `uv.lock`: the dependency groups of the project that count. Default: all, as with `extras`."),
        "lock": attr.label(
            doc = "The lock: requirements with hashes, `pylock.toml`, `uv.lock`, or the JSON that a `bento_requirements` target writes.",
            mandatory = True,
        ),
        "macos": attr.string(
            default = DEFAULT_MACOS,
            doc = "The newest macOS that a wheel for it may ask for, `X.Y`: the oldest that it is to run on.",
        ),
        "members": attr.string_list(default = ["*"], doc = "Of a `uv.lock`: the members of the workspace, by name, whose dependencies count. Default: all, as with `extras`."),
        "more_python_versions": attr.string_list(
            doc = "Further versions of Python, `X.Y`, that Bentos can be built for: a bento_package chooses one by `python_version`.",
        ),
        "name": attr.string(doc = "Name of the hub.", mandatory = True),
        "platforms": attr.string_list(
            doc = "What the wheels are for: `<os>_<machine>` of `linux_x86_64`, `linux_aarch64`, `macos_arm64`, `macos_x86_64`. Default: all of these; no wheel is fetched before it is needed.",
        ),
        "python_version": attr.string(default = PYTHON_VERSION, doc = "The Python that the packages are for, `X.Y`."),
        "record_errors": attr.string_list_dict(doc = "Renamed: allow_record_mismatch."),
    } | INDEX_ATTRIBUTES,
)

bento = module_extension(
    implementation = _bento_impl,
    doc = "Brings hubs of locked wheels and of locked Debian packages, base images and models.",
    tag_classes = {"apt": apt_tag, "base": base_tag, "model": model_tag, "pypi": _pypi},
)
