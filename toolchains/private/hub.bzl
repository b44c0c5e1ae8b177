"""The hub of a lock: a target for each package, over its closure. Nothing is fetched but what a build asks for."""

load("//toolchains:indexes.bzl", "indexes_of_package")
load(":fetch.bzl", "mark_reproducible")
load(":markers.bzl", "evaluate_marker", "fits_python", "marker_environment")
load(":source.bzl", "source_file", "source_repo")
load(":wheel.bzl", "python_version", "wheel_modules_repo", "wheel_repo")
load(":wheel_tags.bzl", "best_wheel")

_PYTHON = "@bento_python//:version"
_INTERPRETER = "@bento_python//:path"

_ROOT_BUILD = """\
exports_files(["requirements.bzl"])
"""

_REQUIREMENTS = '''\
"""The packages of this lock."""

# Made by Label(), so that they name the hub whatever a module calls it.
all_requirements = [str(Label("//" + name)) for name in {folders}]

_LOCKED = {locked}

def requirement(name):
    """The label of a package; fails for one that the lock does not have.

    Args:
      name: of the package, as the index or as Python spells it.

    Returns:
      A label.
    """
    target = name.lower().replace("-", "_").replace(".", "_")
    if target not in _LOCKED:
        fail("the lock of @{hub} has no {{}}: add it to what is locked, and write the lock again".format(name))
    return Label("//" + target)
'''

# A package of the lock that markers leave out.
_LEFT_OUT = """
alias(
    name = "{name}",
    actual = {actual},
    tags = ["manual"],
)
"""

_PACKAGE_HEAD = """\
load("@rules_bento//rules/private:locked_package.bzl", "locked_package")
load("@rules_bento//rules/private:requirement.bzl", "requirement")

package(default_visibility = ["//visibility:public"])

locked_package(
    name = "_locked",
    description = {description},
)

alias(
    name = "whl",
    actual = {wheel},
)
"""

# Another version of Python is another hub.
_BY_VERSION = """
alias(
    name = "{name}",
    actual = select({{
{versions}        "//conditions:default": ":{default}",
    }}),
    tags = {tags},
)
"""

_REQUIREMENT = """
requirement(
    name = "{name}",
    distribution = "{distribution}",
    extra = "{extra}",
    glibc = "{glibc}",
    modules = {modules},
    packages = {packages},
    platform = {platform},
    python_version = "{python_version}",
    wheels = {wheels},
)
"""

def _wheel_repo_name(hub, package, platform, by_name):
    """Returns the name of a wheel's repository, which has the version where the lock has several of the package.

    Names of repositories are part of the repository mapping of each program, so that another name writes all of them anew.
    """
    version = [package["version"].replace("+", "_")] if len(by_name[package["name"]]) > 1 else []
    return "__".join([hub, _target_name(package["name"])] + version + [platform])

def _target_name(name):
    """Returns the name of a package as the hub spells it."""
    return name.replace("-", "_").replace(".", "_")

def _declare_wheel(wheel, package, platform, settings, build):
    source = package.get("source", {})
    special = settings.special
    exclude = {
        "exclude": special.exclude.get((package["name"], platform), []),
        "exclude_preset": special.exclude_preset.get(package["name"], []),
    }
    wheel_repo(
        name = wheel,
        distribution = package["name"],
        files = package["files"],
        glibc = settings.glibc,
        indexes = indexes_of_package(settings.indexes, package["name"]),
        lock = settings.folders_from,
        macos = settings.macos,
        platform = platform,
        python = _PYTHON,
        python_version = settings.python_version,
        record_errors = special.record_errors.get(package["name"], []),
        refused = package.get("refused", []),
        url = source.get("url", ""),
        uv = "@bento_uv//:uv",
        version = package["version"],
        **exclude
    )
    wheel_modules_repo(
        name = wheel + "_modules",
        compiler = settings.compiler,
        distribution = package["name"],
        version = package["version"],
        wheel = "@{}//:name".format(wheel),
    )
    if source_file(package["files"]) or "git" in source:
        source_repo(
            name = wheel + "_source",
            build_hub = build.hub,
            build_lock = build.lock,
            build_packages = build.packages,
            commit = source.get("commit", ""),
            distribution = package["name"],
            files = package["files"],
            git = source.get("git", ""),
            indexes = indexes_of_package(settings.indexes, package["name"]),
            lock = settings.folders_from,
            interpreter = _INTERPRETER,
            platform = platform,
            python = _PYTHON,
            python_version = settings.python_version,
            subfolder = source.get("subdirectory", ""),
            url = source.get("url", ""),
            uv = "@bento_uv//:uv",
            version = package["version"],
            **exclude
        )

_NOTHING_SPECIAL = struct(exclude = {}, exclude_preset = {}, record_errors = {})

def wheel_settings(*, newest, python_version, indexes = "", folders_from = None, compiler = None, special = _NOTHING_SPECIAL):
    """Collects how the wheels of a hub are chosen, found and unpacked.

    Args:
      newest: what a wheel may ask for: a struct with `glibc`, the newest C library, and `macos`, the newest macOS.
      python_version: `X.Y`, or empty for that of the toolchain's interpreter.
      indexes: where packages come from, as `encode_indexes` writes it.
      folders_from: label of the lock, where `indexes` name folders; they are from the root of its repository.
      compiler: label of a file with the path of an interpreter that compiles the modules; None to leave them as they are.
      special: what holds for single packages: a struct of dicts. `record_errors` has by name the SHA-256 of wheels that are taken
        although their RECORD is wrong; `exclude` by name and platform, and `exclude_preset` by name, the patterns of files
        that images leave out.

    Returns:
      A struct for `declare_hub`.
    """
    return struct(
        compiler = compiler,
        folders_from = folders_from,
        glibc = newest.glibc,
        indexes = indexes,
        macos = newest.macos,
        python_version = python_version,
        special = special,
    )

def declare_hub(*, name, lock, platforms, settings, build = None, versions = {}):
    """Declares the repositories of a lock; none is fetched by that.

    Args:
      name: of the hub.
      lock: the lock, decoded.
      platforms: list of `<os>_<machine>`.
      settings: what `wheel_settings` returned.
      build: what packages without a wheel are built with, a struct of `hub`, `lock` (its label, as text) and
        `packages` (names); None for packages of this hub.
      versions: other versions of Python, `X.Y`, to the names of hubs of the same lock for them.
    """
    own = struct(
        hub = name,
        lock = "the lock of @{}".format(name),
        packages = sorted({package["name"]: True for package in lock["packages"]}),
    )
    by_name = _by_name(lock["packages"])
    for platform in platforms:
        for package in lock["packages"]:
            _declare_wheel(_wheel_repo_name(name, package, platform, by_name), package, platform, settings, build or own)
    hub_repo(
        name = name,
        glibc = settings.glibc,
        hub = name,
        lock = json.encode({key: lock[key] for key in ["requires_python", "roots", "packages"]}),
        macos = settings.macos,
        platforms = platforms,
        python = _PYTHON,
        python_version = settings.python_version,
        versions = versions,
    )

def _chosen(edges, by_name, environment):
    """Returns the (package, extras) of those edges whose markers hold."""
    chosen = []
    for edge in edges:
        if evaluate_marker(edge.get("marker", ""), environment):
            found = [p for p in by_name.get(edge["name"], []) if p["version"] == edge.get("version", p["version"])]
            if not found:
                release = " ".join([edge["name"]] + ([edge["version"]] if "version" in edge else []))
                fail("the lock names {}, and does not have it: write the lock again".format(release))
            chosen.append((found[0], edge.get("extras", [])))
    return chosen

def _closure(start, by_name, environment):
    """Returns the packages, by name, that a list of (package, extras) needs, itself among them."""
    queue = list(start)
    seen = {}
    packages = {}

    # Starlark has no `while`; each turn takes one package of the queue, and each is queued once for an edge.
    for _ in range(1000000):
        if not queue:
            return packages
        package, extras = queue.pop()
        packages[package["name"]] = package
        for extra in [""] + extras:
            if (package["name"], extra) not in seen:
                seen[(package["name"], extra)] = True
                edges = package.get("extras", {}).get(extra, []) if extra else package.get("dependencies", [])
                queue += _chosen(edges, by_name, environment)
    return fail("the lock has no end")

def _by_name(packages):
    result = {}
    for package in packages:
        result.setdefault(package["name"], []).append(package)
    return result

def _no_match(rctx, version, distribution, platforms):
    """Returns the error for a build on a platform that a package is not there on, with a remedy."""
    if len(platforms) == len(rctx.attr.platforms):
        return "@{0} is for {1}, and this build for another platform: add its name to platforms of bento.pypi(name = \"{0}\") in MODULE.bazel".format(
            rctx.attr.hub,
            ", ".join(platforms),
        )
    return "@{} has {} for Python {} on {} of {}, by the markers of its lock: leave it out of this build, or lock {} itself, without a marker".format(
        rctx.attr.hub,
        distribution,
        version,
        ", ".join(platforms) + " alone" if platforms else "none",
        ", ".join(rctx.attr.platforms),
        distribution,
    )

def _select(values, no_match):
    """Returns the text of a select over platforms."""
    lines = ["    \"@rules_bento//toolchains/platforms:{}\": {},\n".format(key, repr(value)) for key, value in values.items()]
    return "select({\n" + "".join(lines) + "}, no_match_error = " + repr(no_match) + ")"

def _is_built(rctx, version, package, platform):
    """Returns whether a package's wheel is built from source, because no wheel fits."""
    if "git" in package.get("source", {}):
        return True
    return bool(source_file(package["files"])) and not best_wheel(package["files"], platform, version, rctx.attr.glibc, rctx.attr.macos)

def _labels(rctx, version, package, platform, by_name):
    """Returns the labels of a package's wheel and of its modules."""
    repository = "@" + _wheel_repo_name(rctx.attr.hub, package, platform, by_name)
    if _is_built(rctx, version, package, platform):
        return struct(modules = repository + "_source//:modules", wheel = repository + "_source//:wheel")
    return struct(modules = repository + "_modules//:modules", wheel = repository + "//:wheel")

def _by_version(rctx, distribution, name, default, tags = []):
    """Returns the text of a target that is one of several by the version of Python; empty where the hub has but one."""
    if not rctx.attr.versions:
        return ""
    return _BY_VERSION.format(
        default = default,
        name = name,
        tags = repr(tags),
        versions = "".join([
            "        \"@rules_bento//toolchains/platforms:python_{}\": \"@{}//{}:{}\",\n".format(
                version.replace(".", "_"),
                hub,
                _target_name(distribution),
                name,
            )
            for version, hub in rctx.attr.versions.items()
        ]),
    )

def _extra_name(extra, distribution):
    """Returns the name of the target of an extra, which is that of the extra unless another target has that."""
    return "extra_" + extra if extra in (_target_name(distribution), "whl", "locked", "_locked") else extra

def _requirement(rctx, version, package, extra, by_name, environments):
    """Returns the text of a package's target, or of one of its extras'. `package` is by platform."""
    modules, packages, wheels = {}, {}, {}
    for platform, found in package.items():
        closure = [p for _, p in sorted(_closure([(found, [extra] if extra else [])], by_name, environments[platform]).items())]
        packages[platform] = ["//{}:_locked".format(_target_name(p["name"])) for p in closure]
        labels = [_labels(rctx, version, p, platform, by_name) for p in closure]
        modules[platform] = [label.modules for label in labels]
        wheels[platform + "_files"] = [label.wheel for label in labels]

        # A configuration that only states packages, or needs only their files, gets no modules or wheels, so that Bazel fetches none.
        modules[platform + "_metadata"] = []
        modules[platform + "_files"] = []
        wheels[platform] = []
    distribution = package.values()[0]["name"]
    no_match = _no_match(rctx, version, distribution, package.keys())
    name = _extra_name(extra, distribution) if extra else _target_name(distribution)
    hidden = "_" + name if rctx.attr.versions else name
    return _by_version(rctx, distribution, name, hidden) + _REQUIREMENT.format(
        distribution = distribution,
        extra = extra,
        glibc = rctx.attr.glibc,
        modules = _select(modules, no_match),
        name = hidden,
        packages = _select(packages, no_match),
        platform = _select({platform: platform for platform in package}, no_match),
        python_version = version,
        wheels = _select(wheels, no_match),
    )

def _package_build(rctx, version, package, by_name, environments):
    """Returns the BUILD file of a package that is there on some platforms; `package` is by platform."""
    no_match = _no_match(rctx, version, package.values()[0]["name"], package.keys())
    build = _PACKAGE_HEAD.format(
        description = _select({platform: "locked-{}.json".format(found["version"]) for platform, found in package.items()}, no_match),
        wheel = _select({platform: _labels(rctx, version, found, platform, by_name).wheel for platform, found in package.items()}, no_match),
    )
    extras = {extra: True for found in package.values() for extra in found.get("extras", {})}
    for extra in [""] + sorted(extras):
        build += _requirement(rctx, version, package, extra, by_name, environments)
    return build

def _left_out_build(rctx, version, distribution):
    """Returns the BUILD file of a package that is there on no platform: its targets say why, or are those of another Python."""
    name = _target_name(distribution)
    hidden = "_" + name if rctx.attr.versions else name
    actual = _select({"none": "//:requirements.bzl"}, _no_match(rctx, version, distribution, []))
    targets = [_LEFT_OUT.format(name = target, actual = actual) for target in (hidden, "whl")]
    return 'package(default_visibility = ["//visibility:public"])\n' + _by_version(rctx, distribution, name, hidden, ["manual"]) + "".join(targets)

def _hub_repo_impl(rctx):
    lock = json.decode(rctx.attr.lock)
    version = python_version(rctx)
    if not fits_python(lock["requires_python"], version):
        fail("@{} is for Python {}, but its lock for {}: set python_version of bento.pypi, or lock again".format(
            rctx.attr.hub,
            version,
            lock["requires_python"],
        ))
    by_name = _by_name(lock["packages"])
    environments = {platform: marker_environment(platform, version) for platform in rctx.attr.platforms}
    active = {
        platform: _closure(_chosen(lock["roots"], by_name, environment), by_name, environment)
        for platform, environment in environments.items()
    }
    folders = []
    for name in sorted(by_name):
        package = {platform: packages[name] for platform, packages in active.items() if name in packages}
        folder = _target_name(name)
        if package:
            rctx.file(folder + "/BUILD.bazel", _package_build(rctx, version, package, by_name, environments))
            for found in package.values():
                rctx.file("{}/locked-{}.json".format(folder, found["version"]), json.encode_indent(found) + "\n")
            folders.append(folder)
        else:
            rctx.file(folder + "/BUILD.bazel", _left_out_build(rctx, version, name))
    rctx.file("requirements.bzl", _REQUIREMENTS.format(
        folders = repr(folders),
        hub = rctx.attr.hub,
        locked = repr([_target_name(name) for name in sorted(by_name)]),
    ))
    rctx.file("BUILD.bazel", _ROOT_BUILD)
    return mark_reproducible(rctx)

hub_repo = repository_rule(
    implementation = _hub_repo_impl,
    doc = "A target per package of a lock.",
    attrs = {
        "glibc": attr.string(doc = "The newest C library that a wheel may ask for.", mandatory = True),
        "hub": attr.string(doc = "Name of the hub, as its users write it.", mandatory = True),
        "lock": attr.string(doc = "The lock, as JSON.", mandatory = True),
        "macos": attr.string(doc = "The newest macOS that a wheel may ask for.", mandatory = True),
        "platforms": attr.string_list(doc = "What it is for, `<os>_<machine>` each.", mandatory = True),
        "python": attr.label(doc = "File with the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Takes precedence over `python`."),
        "versions": attr.string_dict(doc = "Other versions of Python, `X.Y`, to the hubs for them."),
    },
)
