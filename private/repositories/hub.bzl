"""Declares package hubs, which have a target for each locked package, including its transitive dependencies.

Bazel fetches only the wheels that a build needs. If Bazel writes a repository again, it also analyzes all users of the repository again, even if
the contents didn't change. Therefore, each package has a separate repository. Bazel writes this repository again only if the lock changes the
package or its transitive dependencies."""

load("//private:indexes.bzl", "indexes_of_package")
load("//private:versions.bzl", "PYTHON_VERSIONS")
load(":build_text.bzl", "build_text", "failing_text", "platform_cases", "select_text")
load(":fetch.bzl", "mark_reproducible")
load(":markers.bzl", "evaluate_marker", "is_python_in", "marker_environment")
load(":source.bzl", "source_file", "source_repo")
load(":wheel.bzl", "python_version", "wheel_modules_repo", "wheel_repo")
load(":wheel_tags.bzl", "best_wheel")

_PYTHON = "@bento_python//:version"
_INTERPRETER = "@bento_python//:path"

_ROOT_BUILD = """\
load("@rules_bento//private:hub_rules.bzl", "other_python")

exports_files(["requirements.bzl"])

other_python(
    name = {name},
    hub = {hub},
    python_versions = {python_versions},
    visibility = ["//:__subpackages__"],
)
"""

# Fails for Python versions that the hub lacks. No package has this name.
_OTHER_PYTHON = "_other_python"

_REQUIREMENTS = '''\
"""The packages of this lock."""

# Made by Label(), because modules can give the hub another name.
all_requirements = [str(Label("//" + name)) for name in {active}]

_LOCKED = {locked}

def requirement(name):
    """Returns the label of a package of the lock.

    Args:
      name: name of the package, in any spelling.

    Returns:
      A label.
    """
    target = name.lower().replace("-", "_").replace(".", "_")
    if target not in _LOCKED:
        fail("the lock of @{{}} doesn't contain {{}}. Add the package to the requirements, and update the lock.".format({hub}, name))
    return Label("//" + target)
'''

_PACKAGE_HEAD = """\
package(default_visibility = ["//visibility:public"])
"""

def _declare_wheel(wheel, package, platform, settings, build):
    source = package.get("source", {})
    special = settings.special
    release = {
        "distribution": package["name"],
        "exclude": special.exclude.get((package["name"], platform), []),
        "exclude_preset": special.exclude_preset.get(package["name"], []),
        "files": package["files"],
        "indexes": indexes_of_package(settings.indexes, package["name"]),
        "lock": settings.relative_to,
        "package_metadata_bzl": special.package_metadata_bzl,
        "platform": platform,
        "python": _PYTHON,
        "python_version": settings.python_version,
        "url": source.get("url", ""),
        "uv": "@bento_uv//:uv",
        "version": package["version"],
    }
    wheel_repo(
        name = wheel,
        allow_record_mismatch = special.allow_record_mismatch.get(package["name"], []),
        glibc = settings.glibc,
        macos = settings.macos,
        rejected_files = package.get("rejected_files", []),
        **release
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
            git = source.get("git", ""),
            interpreter = _INTERPRETER,
            subdirectory = source.get("subdirectory", ""),
            **release
        )

_NO_SPECIAL = struct(exclude = {}, exclude_preset = {}, allow_record_mismatch = {}, package_metadata_bzl = None)

def wheel_settings(*, newest, python_version, indexes = "", relative_to = None, compiler = None, special = _NO_SPECIAL):
    """Returns the settings with which a package hub selects, fetches, and unpacks wheels.

    Args:
      newest: struct of `glibc` and `macos`, the newest versions that wheels can require.
      python_version: Python version, in the form `X.Y`; empty for the version of the toolchain's interpreter.
      indexes: result of `encode_indexes`.
      relative_to: label of a lock, or None. Directories in `indexes` are relative to the root of the repository that contains the lock.
      compiler: label of a file that contains the path of the interpreter that compiles modules, or None.
      special: struct of package settings: the dicts `allow_record_mismatch` (name to the hashes of wheels whose RECORD can be wrong), `exclude`
        (name and platform to patterns of files that images exclude), and `exclude_preset` (name to patterns), and `package_metadata_bzl`, the label
        of a .bzl file or None.

    Returns:
      A struct for `declare_hub`.
    """
    return struct(
        compiler = compiler,
        relative_to = relative_to,
        glibc = newest.glibc,
        indexes = indexes,
        macos = newest.macos,
        python_version = python_version,
        special = special,
    )

def declare_hub(*, name, lock, platforms, settings, build = None, versions = {}):
    """Declares the repositories of a lock, without fetching them.

    Args:
      name: name of the package hub.
      lock: the decoded lock.
      platforms: list of target platforms, in the form `<os>_<architecture>`.
      settings: result of `wheel_settings`.
      build: struct that describes the build requirements: `hub`, `lock` (a label, shown in error messages), and `packages` (names). If None,
        the packages of this package hub are the build requirements.
      versions: dict of Python versions, in the form `X.Y`, to the names of package hubs with the same lock, including this one. Other versions
        are errors. If empty, the package hub provides the same packages for each version.
    """
    packages = _by_name(lock["packages"])
    own = struct(
        hub = name,
        lock = "a bento_requirements target, and set build_lock in bento.pypi(name = \"{}\") to the lock of this target".format(name.partition("__python_")[0]),
        packages = sorted(packages),
    )
    for platform in platforms:
        for package in lock["packages"]:
            _declare_wheel(_wheel_repo_name(name, package, platform, packages), package, platform, settings, build or own)
    _lock_repo(
        name = lock_repo_name(name),
        glibc = settings.glibc,
        hub = name,
        lock = json.encode({key: lock[key] for key in ["requires_python", "roots", "packages"]}),
        macos = settings.macos,
        platforms = platforms,
        python = _PYTHON,
        python_version = settings.python_version,
    )
    for distribution in packages:
        _package_repo(
            name = _package_repo_name(name, distribution),
            content = "@{}//:packages/{}.json".format(lock_repo_name(name), _target_name(distribution)),
        )
    _hub_repo(name = name, content = "@{}//:hub.json".format(lock_repo_name(name)), hub = name, versions = versions)

def _alias(rctx, distribution, name, tags):
    """Returns the text of an alias in the package hub. With `versions`, it selects a package hub by the configuration's Python version."""
    target = "@{}//:" + name
    actual = target.format(_package_repo_name(rctx.attr.hub, distribution))
    if not rctx.attr.versions:
        return _alias_text(name, repr(actual), tags)
    by_version = {version: target.format(_package_repo_name(hub, distribution)) for version, hub in rctx.attr.versions.items()}

    # Without `python_version` in the tag, the version of the package hub is unknown here.
    other = actual if "" in by_version else "//:" + _OTHER_PYTHON
    selected = "select({})".format(repr({
        "@rules_bento//toolchains/platforms:python_" + version.replace(".", "_"): by_version.get(version, other)
        for version in PYTHON_VERSIONS
    } | {"//conditions:default": actual}))
    return _alias_text(name, selected, tags)

def _hub_repo_impl(rctx):
    content = json.decode(rctx.read(rctx.attr.content))
    for distribution, extras in content["packages"].items():
        # The tag `manual` excludes packages without a platform from wildcard patterns.
        tags = [] if distribution in content["active"] else ["manual"]
        names = [_target_name(distribution), "whl"] + [_extra_name(extra, distribution) for extra in extras]
        targets = [_alias(rctx, distribution, name, tags) for name in names]
        rctx.file(_target_name(distribution) + "/BUILD.bazel", _PACKAGE_HEAD + "".join(targets))
    rctx.file("requirements.bzl", build_text(
        _REQUIREMENTS,
        active = [_target_name(name) for name in content["active"]],
        hub = rctx.attr.hub,
        locked = [_target_name(name) for name in content["packages"]],
    ))
    rctx.file("BUILD.bazel", build_text(_ROOT_BUILD, hub = rctx.attr.hub, name = _OTHER_PYTHON, python_versions = rctx.attr.versions.keys()))
    return mark_reproducible(rctx)

_hub_repo = repository_rule(
    implementation = _hub_repo_impl,
    doc = "Declares an alias for each package of a lock. The actual targets are in separate repositories, so a new version of a package doesn't change this repository.",
    attrs = {
        "content": attr.label(doc = "File in the lock's repository that lists the names of packages and extras.", mandatory = True),
        "hub": attr.string(doc = "Name of the package hub.", mandatory = True),
        "versions": attr.string_dict(doc = "Package hubs of all Python versions. Keys are versions (`X.Y`); values are names of package hubs. Empty for a hub that provides the same packages for each version."),
    },
)

_ALIAS = """
alias(
    name = {name},
    actual = {actual},
    tags = {tags},
)
"""

_LOCKED_PACKAGE = """\
load("@rules_bento//private:hub_rules.bzl", "deferred", "locked_package", "requirement")

package(default_visibility = ["//visibility:public"])

locked_package(
    name = "_locked",
    description = {description},
)
"""

_DEFERRED = """
deferred(
    name = {name},
    labels = {labels},
    no_match_error = {no_match_error},
)
"""

_REQUIREMENT = """
requirement(
    name = {name},
    distribution = {distribution},
    extra = {extra},
    glibc = {glibc},
    modules = {modules},
    packages = {packages},
    platform = {platform},
    python_version = {python_version},
    wheels = {wheels},
)
"""

def _target_name(name):
    """Returns the name of the target for a package."""
    return name.replace("-", "_").replace(".", "_")

def _extra_name(extra, distribution):
    """Returns the name of the target for an extra, with a prefix if another target has the name of the extra."""
    return "extra_" + extra if extra in (_target_name(distribution), "whl", "locked", "_locked", "_modules") else extra

def _by_name(packages):
    """Returns a dict of name to the list of entries for a package. A lock can contain several versions of a package."""
    result = {}
    for package in packages:
        result.setdefault(package["name"], []).append(package)
    return result

def _alias_text(name, actual, tags):
    """Returns the text of an alias for a BUILD file. `actual` is an expression."""
    return build_text(_ALIAS, {"actual": actual}, name = name, tags = tags)

def _package_repo_name(hub, name):
    """Returns the name of the repository for a package."""
    return "{}__{}__package".format(hub, _target_name(name))

def _wheel_repo_name(hub, package, platform, packages):
    """Returns the name of the repository for a wheel. The name contains the version only if the lock contains several versions.

    The repository mappings of all programs contain these names, so a changed name would rebuild all programs.
    """
    version = [_release(package).replace("+", "_").replace("!", "__")] if len(packages[package["name"]]) > 1 else []
    return "__".join([hub, _target_name(package["name"])] + version + [platform])

def _release(package):
    """Returns a string that distinguishes the entries of a package: the version and, if specified, the index."""
    return "_".join([package["version"]] + ([package["index"]] if "index" in package else []))

def lock_repo_name(hub):
    """Returns the name of the repository that describes the packages in the lock of a package hub."""
    return hub + "__lock"

def _active(lock, edges, platform):
    """Returns (package, extras) pairs for the edges whose markers are true on a platform. Adds errors of the lock to `lock.problems`."""
    active = []
    for edge in edges:
        is_active = evaluate_marker(edge.get("marker", ""), lock.environments[platform])
        if is_active == None:
            lock.problems.append("@{}: the lock contains the invalid marker {}. Restore the committed file, or update the lock.".format(lock.hub, repr(edge["marker"][:100])))
        elif is_active:
            candidates = [
                p
                for p in lock.packages.get(edge["name"], [])
                if p["version"] == edge.get("version", p["version"]) and p.get("index") == edge.get("index", p.get("index"))
            ]
            if candidates:
                active.append((candidates[0], edge.get("extras", [])))
            else:
                release = " ".join([edge["name"]] + ([edge["version"]] if "version" in edge else []))
                lock.problems.append("@{}: the lock requires {}, but doesn't include the package. Update the lock, for example with the bento_requirements target or `uv lock`.".format(lock.hub, release))
    return active

def _closure(lock, start, platform):
    """Returns a dict of name to package: `start`, a list of (package, extras) pairs, and transitive dependencies. Adds errors to `lock.problems`."""
    queue = list(start)
    seen = {}
    closure = {}

    # Starlark has no `while`. Each iteration processes one package of the queue, which contains a package at most once for each edge.
    for _ in range(1000000):
        if not queue:
            return closure
        package, extras = queue.pop()
        other = closure.setdefault(package["name"], package)
        if _release(other) != _release(package):
            lock.problems.append("@{3}: the lock contains {0} {1} and {0} {2} for the same platform. Update the lock, for example with the bento_requirements target or `uv lock`, or select extras and groups that require only one of the versions.".format(
                package["name"],
                other["version"],
                package["version"],
                lock.hub,
            ))
        for extra in [""] + extras:
            if (package["name"], extra) not in seen:
                seen[(package["name"], extra)] = True
                edges = package.get("extras", {}).get(extra, []) if extra else package.get("dependencies", [])
                queue += _active(lock, edges, platform)
    lock.problems.append("@{}: the lock's dependency graph has more than 1,000,000 dependencies. Remove requirements, and update the lock.".format(lock.hub))
    return closure

def _no_match(lock, distribution, platforms):
    """Returns the error message for builds on a platform that isn't in `platforms`, the platforms for which the lock has the package."""
    if len(platforms) == len(lock.environments):
        return "@{0} is for {1}, but the build is for another platform. Add the platform to platforms of bento.pypi(name = \"{0}\") in MODULE.bazel.".format(
            lock.hub,
            ", ".join(platforms),
        )
    return "@{} has {} for Python {} {} of {}, because of markers in the lock. Exclude the package from the build, or lock {} directly, without a marker.".format(
        lock.hub,
        distribution,
        lock.python_version,
        "only on " + ", ".join(platforms) if platforms else "on none",
        ", ".join(lock.environments),
        distribution,
    )

def _is_built(lock, package, platform):
    """Returns whether builds must build a package from source: from git, or from a source archive because no wheel is compatible."""
    if "git" in package.get("source", {}):
        return True
    return bool(source_file(package["files"])) and not best_wheel(package["files"], platform, lock.python_version, lock.glibc, lock.macos)

def _labels(lock, package, platform):
    """Returns a struct with the labels of a package's `wheel` and `modules`."""
    repository = "@" + _wheel_repo_name(lock.hub, package, platform, lock.packages)
    if _is_built(lock, package, platform):
        return struct(modules = repository + "_source//:modules", wheel = repository + "_source//:wheel")
    return struct(modules = repository + "_modules//:modules", wheel = repository + "//:wheel")

def _package_label(lock, package, name):
    """Returns the label of a target in the repository of a package."""
    return "@{}//:{}".format(_package_repo_name(lock.hub, package["name"]), name)

def _extras(package):
    """Returns the sorted names of a package's extras. `package` maps platforms to entries."""
    return sorted({extra: True for entry in package.values() for extra in entry.get("extras", {})})

# Packages that the import of a service requires: BentoML, and FastAPI, because the service metadata contains FastAPI routes.
_IMPORT_PACKAGES = ["bentoml", "fastapi"]

def _requirement(lock, package, extra):
    """Returns the text of the target for a package, or for one of its extras. `package` maps platforms to entries."""
    modules, locked, wheels = {}, {}, {}
    for platform, entry in package.items():
        closure = [
            p
            for _, p in sorted(_closure(lock, [(entry, [extra] if extra else [])], platform).items())
        ]
        locked[platform] = [_package_label(lock, p, "_locked") for p in closure]
        modules[platform] = [_package_label(lock, p, "_modules") for p in closure]
        wheels[platform + "_files"] = [_package_label(lock, p, "whl") for p in closure]

        # Configurations that only declare packages or require only wheels have no modules, so that Bazel doesn't fetch modules.
        modules[platform + "_metadata"] = []
        modules[platform + "_files"] = []
        imported = [(p, []) for p in closure if p["name"] in _IMPORT_PACKAGES]
        imports = [p for _, p in sorted(_closure(lock, imported, platform).items())]
        modules[platform + "_import"] = [_package_label(lock, p, "_modules") for p in imports]
        wheels[platform] = []
    distribution = package.values()[0]["name"]
    no_match = _no_match(lock, distribution, package.keys())
    return build_text(
        _REQUIREMENT,
        {
            "modules": select_text(modules, no_match),
            "packages": select_text(locked, no_match),
            "platform": select_text({platform: platform for platform in package}, no_match),
            "wheels": select_text(wheels, no_match),
        },
        distribution = distribution,
        extra = extra,
        glibc = lock.glibc,
        name = _extra_name(extra, distribution) if extra else _target_name(distribution),
        python_version = lock.python_version,
    )

def _build_file(lock, package):
    """Returns the text of the BUILD file for a package. `package` maps platforms to entries."""
    no_match = _no_match(lock, package.values()[0]["name"], package.keys())
    descriptions = {platform: "locked-{}.json".format(_release(entry)) for platform, entry in package.items()}
    build = build_text(_LOCKED_PACKAGE, {"description": select_text(descriptions, no_match)})
    labels = {platform: _labels(lock, entry, platform) for platform, entry in package.items()}
    for name, by_platform in {
        "_modules": {platform: label.modules for platform, label in labels.items()},
        "whl": {platform: label.wheel for platform, label in labels.items()},
    }.items():
        build += build_text(_DEFERRED, labels = platform_cases(by_platform), name = name, no_match_error = no_match)
    for extra in [""] + _extras(package):
        build += _requirement(lock, package, extra)
    return build

def _failing_build_file(distribution, extras, problem):
    """Returns the text of a BUILD file whose targets fail with the error `problem`, because builds can't use the package."""
    return failing_text([_target_name(distribution), "whl"] + [_extra_name(extra, distribution) for extra in extras], problem)

def _python_mismatch(hub, requires_python, version):
    """Returns the error for a Python version that the lock doesn't support, or None for a supported version."""
    if is_python_in(requires_python, version):
        return None
    compatible = [known for known in PYTHON_VERSIONS if is_python_in(requires_python, known)]
    remedy = "Set python_version = \"{}\" in bento.pypi, or update the lock.".format(compatible[0]) if compatible else "Update the lock."
    return "@{} is for Python {}, but the lock is for {}. {}".format(hub, version, requires_python, remedy)

def _lock_repo_impl(rctx):
    content = json.decode(rctx.attr.lock)
    version = python_version(rctx)

    # The targets fail with the error, not the repository rule, which would also break `bazel query`.
    mismatch = _python_mismatch(rctx.attr.hub, content["requires_python"], version)
    lock = struct(
        environments = {platform: marker_environment(platform, version) for platform in rctx.attr.platforms},
        glibc = rctx.attr.glibc,
        hub = rctx.attr.hub,
        macos = rctx.attr.macos,
        packages = _by_name(content["packages"]),
        problems = [mismatch] if mismatch else [],
        python_version = version,
    )
    active = {
        platform: _closure(lock, _active(lock, content["roots"], platform), platform)
        for platform in lock.environments
    } if not mismatch else {}
    packages = {
        name: {platform: packages[name] for platform, packages in active.items() if name in packages}
        for name in sorted(lock.packages)
    }
    builds = {name: _build_file(lock, package) for name, package in packages.items() if package}
    problem = lock.problems[0] if lock.problems else None
    hub = {"active": packages.keys() if problem else builds.keys(), "packages": {}}
    for name, package in packages.items():
        extras = _extras(dict(enumerate(lock.packages[name])) if problem else package)
        hub["packages"][name] = extras
        is_usable = package and not problem
        rctx.file("packages/{}.json".format(_target_name(name)), json.encode_indent({
            "build": builds[name] if is_usable else _failing_build_file(name, extras, problem or _no_match(lock, name, [])),
            "locked": {_release(entry): entry for entry in package.values()} if is_usable else {},
        }))
    rctx.file("hub.json", json.encode_indent(hub))
    rctx.file("BUILD.bazel", "")
    return mark_reproducible(rctx)

_lock_repo = repository_rule(
    implementation = _lock_repo_impl,
    doc = "For each package of a lock, writes a file with the package's targets for several platforms and one Python version. The package's repository is generated from this file.",
    attrs = {
        "glibc": attr.string(doc = "Newest glibc version that wheels can require (`X.Y`).", mandatory = True),
        "hub": attr.string(doc = "Name of the package hub.", mandatory = True),
        "lock": attr.string(doc = "Content of the lock, as a JSON string.", mandatory = True),
        "macos": attr.string(doc = "Newest macOS version that wheels can require (`X.Y`).", mandatory = True),
        "platforms": attr.string_list(doc = "Target platforms (`<os>_<architecture>`).", mandatory = True),
        "python": attr.label(doc = "File that contains the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Python version of the packages (`X.Y`). Default: the version in the file that `python` specifies."),
    },
)

def _package_repo_impl(rctx):
    # The rule reads the file by its label. Bazel then compares only the digest of this file to determine whether the repository is stale.
    content = json.decode(rctx.read(rctx.attr.content))
    for release, entry in content["locked"].items():
        rctx.file("locked-{}.json".format(release), json.encode_indent(entry) + "\n")
    rctx.file("BUILD.bazel", content["build"])
    return mark_reproducible(rctx)

_package_repo = repository_rule(
    implementation = _package_repo_impl,
    doc = "Declares the targets of a locked package. Bazel fetches the repository again only if the file in the attribute `content` changes.",
    attrs = {"content": attr.label(doc = "File in the lock's repository that describes the package.", mandatory = True)},
)
