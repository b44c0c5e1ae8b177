"""Defines the module extensions `bento_tools`, which provides programs for actions, and `bento` and `bento_files`,
which provide inputs for actions."""

load("//private:indexes.bzl", "INDEX_ATTRIBUTES", "encode_indexes")
load("//private:versions.bzl", "DEFAULT_GLIBC", "DEFAULT_MACOS", "PLATFORMS", "PYTHON_VERSION", "PYTHON_VERSIONS")
load("//private/repositories:absent.bzl", "absent_repo")
load("//private/repositories:apt.bzl", "apt_tag", "declare_debs", "host_mirrors_repo")
load("//private/repositories:base.bzl", "base_tag", "declare_base")
load("//private/repositories:hub.bzl", "declare_hub", "lock_repo_name", "wheel_settings")
load(
    "//private/repositories:locks.bzl",
    "absence_of_lock",
    "lock_settings",
    "read_lock",
    "requires_network",
    "unread_repo",
    "unsupported_lock",
    "watch_retries",
)
load("//private/repositories:model.bzl", "MODEL_TAGS", "declare_model")
load("//private/repositories:python.bzl", "compilers_repo", "declare_python", "runtimes_repo")
load("//private/repositories:tools.bzl", "declare_helper_packages", "declare_uv")

# Names of the repositories to which files of this module refer.
_OWN = [
    "bento_compilers",
    "bento_helper_packages",
    "bento_host_mirrors",
    "bento_python",
    "bento_runtimes",
    "bento_tools",
    "bento_transports",
    "bento_uv",
]
_TOOLS_LOCK = Label("//tools/locks:tools.lock.json")
_TOOLS_HUB = "bento_tools"
_TOOLS_HUB_OF_PYTHON = _TOOLS_HUB + "__python_{}"
_TRANSPORTS_LOCK = Label("//tools/locks:transports.lock.json")
_TRANSPORTS_HUB = "bento_transports"

def _declare_pythons(mctx):
    """Declares the interpreters in tags of the root module, and further interpreters of rules_python.

    Returns their versions.

    The default runs actions. The others compile bytecode, and run tests and imports of services in their version.
    """
    tags = [tag for module in mctx.modules if module.is_root for tag in module.tags.python]
    defaults = [tag for tag in tags if tag.is_default]
    others = [tag.version for tag in tags if not tag.is_default] if len(tags) > 1 else []
    problem = ""
    if len(tags) > 1 and len(defaults) != 1:
        problem = ("{} of {} bento_tools.python tags set is_default. Set is_default = True in exactly one tag: its " +
                   "interpreter runs all actions.").format(len(defaults), len(tags))
    for version in others:
        if not version or len([other for other in others if other == version]) > 1:
            problem = problem or (
                "bento_tools.python(version = \"{}\"): every tag without is_default requires a different version. " +
                "Correct or remove the tag."
            ).format(version)
    if problem:
        # Not an error of the extension, whose toolchains all targets of the workspace resolve.
        declare_python(mctx, name = "bento_python", problem = problem, tag = None)
        compilers_repo(name = "bento_compilers", versions = [])
        return []
    available = declare_python(mctx, name = "bento_python", tag = (defaults or tags or [None])[0])
    names = {}
    for tag in tags if len(tags) > 1 else []:
        if tag.is_default:
            continue
        names[tag.version] = "bento_python_" + tag.version.replace(".", "_")
        declare_python(mctx, name = names[tag.version], tag = tag)
    further = [version for version in available if version not in names]
    for version in further:
        declare_python(
            mctx,
            name = "bento_python_" + version.replace(".", "_"),
            tag = struct(debian_lock = None, interpreter = "", version = version),
        )
    versions = [version for version in names if version in PYTHON_VERSIONS] + further
    compilers_repo(name = "bento_compilers", versions = versions)
    return versions

def _bento_tools_impl(mctx):
    host_mirrors_repo(name = "bento_host_mirrors")
    versions = _declare_pythons(mctx)
    runtimes_repo(name = "bento_runtimes", hub = _TOOLS_HUB_OF_PYTHON, versions = versions)
    lock = json.decode(mctx.read(_TOOLS_LOCK))
    uv = [package for package in lock["packages"] if package["name"] == "uv"][0]
    declare_uv("bento_uv", files = uv["files"], version = uv["version"])
    declare_helper_packages("bento_helper_packages", lock, ["packaging", "tomli", "urllib3"])
    hubs = {_TOOLS_HUB: "", _TRANSPORTS_HUB: ""} | {
        _TOOLS_HUB_OF_PYTHON.format(version.replace(".", "_")): version
        for version in versions
    }
    transports = json.decode(mctx.read(_TRANSPORTS_LOCK))
    for name, version in hubs.items():
        declare_hub(
            name = name,
            lock = transports if name == _TRANSPORTS_HUB else lock,
            platforms = PLATFORMS,
            settings = wheel_settings(
                # Compiles packages that aren't packed, which actions import.
                compiler = "@bento_python//:path",
                newest = struct(glibc = DEFAULT_GLIBC, macos = DEFAULT_MACOS),
                python_version = version,
            ),
        )

    # Other modules use these repositories only through the toolchain.
    own = [module for module in mctx.modules if module.is_root and module.name == "rules_bento"]
    return mctx.extension_metadata(
        reproducible = True,
        root_module_direct_deps = _OWN if own else [],
        root_module_direct_dev_deps = [],
    )

_python = tag_class(
    doc = "Selects the interpreter that runs actions. Further tags, without `is_default`, add interpreters that " +
          "compile bytecode of images, and that run tests and imports of Bentos in their version. The interpreters " +
          "of rules_python run them without a tag, unless the default has `debian_lock` or `interpreter`. Only " +
          "tags of the root module have an effect.",
    attrs = {
        "debian_lock": attr.label(
            doc = "Lock of Debian packages with `python3` and `patchelf`. Machines that run actions then need no " +
                  "Python.",
        ),
        "interpreter": attr.string(doc = "Host interpreter: a path, or a program on PATH."),
        "is_default": attr.bool(doc = "Whether the interpreter runs actions. Required in one of several tags."),
        "mirrors": attr.string_list(doc = "Mirrors for `debian_lock`, as in `bento_files.apt`."),
        "version": attr.string(
            doc = (
                "Python version (`X.Y`). Alone, it selects a toolchain of rules_python. Default: " +
                PYTHON_VERSION +
                " if rules_python provides it, otherwise its newest version. Required without `is_default` in one " +
                "of several tags."
            ),
        ),
    },
)

bento_tools = module_extension(
    implementation = _bento_tools_impl,
    doc = "Provides uv, a Python interpreter, and the packages that the helper (the program that actions run) imports.",
    tag_classes = {"python": _python},
)

def _build_hub(tag, lock):
    """Declares the package hub of build requirements from their decoded lock, which can be None.

    Returns a struct that describes the hub.
    """
    name = tag.name + "__build"
    if not lock:
        # The package hub is empty. Building a wheel then fails with the name of the missing build requirement.
        return struct(hub = name, lock = str(tag.build_lock), packages = [])
    declare_hub(
        name = name,
        lock = lock,
        platforms = PLATFORMS,
        settings = wheel_settings(
            relative_to = tag.build_lock if tag.find_links else None,
            indexes = encode_indexes(tag),
            newest = tag,
            # Builds run with the interpreter of the toolchain, independent of the Python version of the wheels.
            python_version = "",
        ),
    )
    packages = sorted({package["name"]: True for package in lock["packages"]})
    return struct(hub = name, lock = str(tag.build_lock), packages = packages)

def _hubs_by_version(tag):
    """Returns a dict of each additional Python version to the name of its package hub.

    All package hubs of a tag have the same lock.
    """
    return {
        version: "{}__python_{}".format(tag.name, version.replace(".", "_"))
        for version in tag.more_python_versions
    }

def _tag_attributes(tag):
    """Returns the attributes of a tag as a dict of strings, for comparison."""
    return {name: str(getattr(tag, name)) for name in dir(tag)}

def _where(kind, tag):
    """Returns how messages refer to a tag."""
    return "{}.{}(name = \"{}\")".format(_EXTENSIONS[kind], kind, tag.name)

def _claim(claims, kind, tag, module):
    """Records the repository names of a tag.

    If another module declares a name differently, the repository has only targets that fail with this error.

    Args:
      claims: dict of repository name to a struct that describes the tag that declares the repository; changed by the
        function.
      kind: name of the tag class.
      tag: the tag.
      module: the module that contains the tag.

    Returns:
      The struct of the tag if the tag declares repositories, or None.
    """
    names = [tag.name]
    if kind == "pypi":
        names += [tag.name + "__build"] + _hubs_by_version(tag).values()
        names += [lock_repo_name(name) for name in names]

    # The root module can be without a name. Error messages then use the same name as messages of Bazel.
    module_name = module.name or "<root>"
    for name in names:
        if name not in claims:
            continue
        first = claims[name]
        where = _where(kind, tag)
        rename = ("For example, in MODULE.bazel of the module {two}, set name = \"{name}_{new}\" in the tag, and " +
                  "write use_repo({extension}, {name} = \"{name}_{new}\"). The module's BUILD files then need no " +
                  "change.").format(
            extension = _EXTENSIONS[kind],
            name = tag.name,
            # The root module comes first, and its authors can change it.
            new = (first.module if first.is_root else module_name).strip("<>"),
            two = first.module if first.is_root else module_name,
        )
        if first.name != tag.name:
            # A hub has further repositories, whose names no MODULE.bazel contains.
            other = _where(first.kind, first)
            if first.module == module_name:
                fail(
                    "{} and {} in the module {} both declare the repository {}. Rename one of the tags.".format(
                        other,
                        where,
                        module_name,
                        name,
                    ),
                )
            fail(
                ("{} in the module {} and {} in the module {} both declare the repository {}. Rename one of the " +
                 "tags. {}").format(other, first.module, where, module_name, name, rename),
            )
        if first.kind == kind and first.attributes == _tag_attributes(tag):
            return None
        differences = [key for key, value in _tag_attributes(tag).items() if first.attributes.get(key) != value]
        problem = "{} differ".format(", ".join(differences)) if first.kind == kind else "one is a {}.{}".format(
            _EXTENSIONS[first.kind],
            first.kind,
        )
        if first.module == module_name:
            fail(
                "{} is defined twice in the module {} ({}). Remove or rename one of the tags.".format(
                    where,
                    module_name,
                    problem,
                ),
            )

        problem = "the modules {} and {} declare this name ({}). Rename one of the tags. {}".format(
            first.module,
            module_name,
            problem,
            rename,
        )
        if not hasattr(first, "tag"):
            fail("{}: {}".format(where, problem))
        first.conflicts.append(problem)
        return None
    claim = struct(
        attributes = _tag_attributes(tag),
        conflicts = [],
        is_root = module.is_root,
        kind = kind,
        module = module_name,
        name = tag.name,
        tag = tag,
    )
    for name in names:
        claims[name] = claim
    return claim

def _read_locks(mctx, tag):
    """Reads the locks of a `bento.pypi` tag.

    Returns:
      A struct of the decoded `lock`, `build` (the decoded build lock, or None), `problem` (an error, or None), and
      `unread` (the label of a lock that uv can't resolve at the moment, or None).
    """
    locks = {}
    for label in [tag.lock] + ([tag.build_lock] if tag.build_lock else []):
        absence = absence_of_lock(mctx, label)
        if absence and label != tag.lock:
            continue
        problem = unsupported_lock(mctx, label) or absence
        read = read_lock(mctx, label, lock_settings(tag, label != tag.lock)) if not problem else None
        problem = problem or read.problem
        if problem:
            return struct(problem = problem, unread = label if read and read.is_transient else None)
        locks[label] = read.lock
    return struct(build = locks.get(tag.build_lock), lock = locks[tag.lock], problem = None, unread = None)

def _declare_absent_hub(mctx, tag, problem, unread = None):
    """Declares a package hub whose targets fail with an error.

    Tries again to read the lock `unread` if a build needs the hub.
    """
    where = "bento.pypi(name = \"{}\")".format(tag.name)
    retry = None
    if unread:
        retry = lock_repo_name(tag.name)
        unread_repo(name = retry, lock = unread, settings = lock_settings(tag, unread != tag.lock), where = where)
        watch_retries(mctx)
    absent_repo(
        name = tag.name,
        is_python = True,
        lock = tag.lock,
        problem = "{}: {}".format(where, problem),
        retry = "@{}//:lock".format(retry) if retry else None,
    )

def _declare_hubs(mctx, tag):
    """Declares the package hubs of a tag, one for each Python version.

    For an invalid tag or lock, declares one package hub that reports the problem.

    Returns:
      A struct of `uses_network` (whether the hubs depend on an index), and `is_transient` (whether the network might
      give another result later).
    """
    read = _read_locks(mctx, tag)
    if read.problem:
        _declare_absent_hub(mctx, tag, read.problem, read.unread)
        return struct(is_transient = bool(read.unread), uses_network = False)
    build = _build_hub(tag, read.build) if tag.build_lock else None
    others = _hubs_by_version(tag)
    for version, name in {tag.python_version: tag.name}.items() + others.items():
        declare_hub(
            name = name,
            build = build,
            lock = read.lock,
            platforms = tag.platforms or PLATFORMS,
            settings = wheel_settings(
                relative_to = tag.lock if tag.find_links else None,
                indexes = encode_indexes(tag),
                newest = tag,
                python_version = version,
                special = struct(package_metadata_bzl = tag.package_metadata_bzl, wheels = read.lock["wheels"]),
            ),
            versions = {".".join(version.split(".")[:2]): tag.name} | others if name == tag.name else {},
        )
    return struct(
        is_transient = False,
        uses_network = bool([lock for lock in (tag.lock, tag.build_lock) if lock and requires_network(lock)]),
    )

def _declare(mctx, claim):
    """Declares the repositories of a tag (a result of `_claim`).

    Returns the result of `_declare_hubs`, or None for other tags.
    """
    kind, tag = claim.kind, claim.tag
    problem = None
    if claim.conflicts:
        problem = claim.conflicts[0]
        if kind == "pypi":
            _declare_absent_hub(mctx, tag, problem)
            return None
    elif kind == "pypi":
        return _declare_hubs(mctx, tag)
    elif kind == "apt":
        problem = declare_debs(mctx, tag)
    elif kind == "base":
        problem = declare_base(tag)
    else:
        declare_model(kind, tag)
    if problem:
        absent_repo(
            name = tag.name,
            lock = tag.lock if kind == "apt" else None,
            problem = "{}: {}".format(_where(kind, tag), problem),
            targets = ["packages" if kind == "apt" else tag.name],
        )
    return None

def _declare_tags(mctx, kinds):
    """Declares the repositories of all tags of an extension."""
    found = []
    claims = {
        name: struct(attributes = {}, is_root = False, kind = "pypi", module = "rules_bento", name = name)
        for name in (_TOOLS_HUB, _TRANSPORTS_HUB)
    }
    direct, direct_dev = {}, {}
    for module in mctx.modules:
        for kind in kinds:
            for tag in getattr(module.tags, kind):
                found.append(_claim(claims, kind, tag, module))
                if module.is_root:
                    (direct_dev if mctx.is_dev_dependency(tag) else direct)[tag.name] = True

    # Usually, the result depends only on the tags and on locks, so Bazel's lock file doesn't need to store the result.
    # For a uv lock, the result would add megabytes to the file. A result without a network that the tags require must
    # not be stored.
    hubs = [_declare(mctx, claim) for claim in found if claim]
    hubs = [hub for hub in hubs if hub]
    return mctx.extension_metadata(
        reproducible = bool([hub for hub in hubs if hub.is_transient]) or not [hub for hub in hubs if hub.uses_network],
        root_module_direct_deps = direct.keys(),
        root_module_direct_dev_deps = [name for name in direct_dev if name not in direct],
    )

_pypi = tag_class(
    doc = "Declares a package hub, which provides the Python packages of a lock: `@<name>//<package>`.",
    attrs = {
        "allow_record_mismatch": attr.string_list_dict(
            doc = "Wheels that images accept although their RECORD file is wrong, from package to hashes " +
                  "(`sha256:<hex>`, as in the error message). The SBOM lists them.",
        ),
        "build_lock": attr.label(
            doc = "Lock of build requirements, such as setuptools, for packages from git or without a compatible " +
                  "wheel. Default: `lock`.",
        ),
        "exclude": attr.string_list_dict(
            doc = "Files to exclude from images, from package to patterns as in `.gitignore`: `{\"acme\": " +
                  "[\"acme/tests/\", \"*.a\"]}`. `acme@linux_amd64` limits patterns to a platform. Tests, servers, " +
                  "and virtual environments use complete wheels.",
        ),
        "exclude_presets": attr.string_list(
            doc = "Presets of `exclude`: `serving_torch` excludes files of torch and triton that only compile " +
                  "native extensions.",
        ),
        "extras": attr.string_list(
            default = ["*"],
            doc = "Extras of a lock to include. Required if extras conflict (`tool.uv.conflicts`).",
        ),
        "glibc": attr.string(default = DEFAULT_GLIBC, doc = "Newest glibc version that Linux wheels can require."),
        "groups": attr.string_list(
            default = ["*"],
            doc = "Dependency groups of a lock to include, as for `extras`.",
        ),
        "lock": attr.label(
            doc = "A requirements file with hashes, `pylock.toml`, `uv.lock`, `poetry.lock`, `pdm.lock`, " +
                  "`Pipfile.lock`, or a JSON file of a `bento_requirements` target.",
            mandatory = True,
        ),
        "macos": attr.string(
            default = DEFAULT_MACOS,
            doc = "Newest macOS version that wheels can require: the oldest on which they must run.",
        ),
        "members": attr.string_list(
            default = ["*"],
            doc = "Workspace members of a `uv.lock` to include, as for `extras`.",
        ),
        "more_python_versions": attr.string_list(
            doc = "Further Python versions of the packages. `python_version` of `bento_package` selects one; other " +
                  "rules get their version in rules_python. `lock` must be a `uv.lock` or JSON file: other locks " +
                  "are read for one Python.",
        ),
        "name": attr.string(doc = "Name of the package hub and of its repository.", mandatory = True),
        "package_metadata_bzl": attr.label(
            doc = "File with the macro `package_metadata`, such as `@package_metadata//:defs.bzl`, that declares " +
                  "the package URL of each wheel.",
        ),
        "platforms": attr.string_list(
            doc = "Platforms of the wheels: `linux_amd64`, `linux_arm64`, `darwin_arm64`, `darwin_amd64`. Default: " +
                  "all.",
        ),
        "python_version": attr.string(default = PYTHON_VERSION, doc = "Default Python version of the packages."),
    } | INDEX_ATTRIBUTES,
)

_HUBS = {"pypi": _pypi}
_FILES = {"apt": apt_tag, "base": base_tag} | MODEL_TAGS
_EXTENSIONS = {kind: "bento" for kind in _HUBS} | {kind: "bento_files" for kind in _FILES}

# An extension of its own, because a lock can require uv and a network.
bento = module_extension(
    implementation = lambda mctx: _declare_tags(mctx, _HUBS),
    doc = "Provides package hubs for Python packages.",
    tag_classes = _HUBS,
)

bento_files = module_extension(
    implementation = lambda mctx: _declare_tags(mctx, _FILES),
    doc = "Provides Debian packages, base images, and models.",
    tag_classes = _FILES,
)
