"""Declares the repositories of packages in a hub, and of the file that describes each package."""

load("//private:versions.bzl", "PYTHON_VERSIONS")
load(":build_text.bzl", "PUBLIC", "failing_text", "load_text", "platform_cases", "select_text", "target_text")
load(":fetch.bzl", "mark_reproducible")
load(":markers.bzl", "evaluate_marker", "is_python_in", "marker_environment")
load(":source.bzl", "source_file")
load(":wheel.bzl", "python_version")
load(":wheel_tags.bzl", "best_wheel")

def target_name(name):
    """Returns the name of the target for a package."""
    return name.replace("-", "_").replace(".", "_")

def extra_name(extra, distribution):
    """Returns the name of the target for an extra, with a prefix if another target has the name of the extra."""
    return "extra_" + extra if extra in (target_name(distribution), "whl", "locked", "_locked", "_modules") else extra

def by_name(packages):
    """Returns a dict of name to the list of entries for a package. A lock can contain several versions of a package."""
    result = {}
    for package in packages:
        result.setdefault(package["name"], []).append(package)
    return result

def alias_text(name, actual, tags):
    """Returns the text of an alias for a BUILD file. `actual` is an expression."""
    return target_text("alias", {"actual": actual}, name = name, tags = tags)

def package_repo_name(hub, name):
    """Returns the name of the repository for a package."""
    return "{}__{}__package".format(hub, target_name(name))

def wheel_repo_name(hub, package, platform, packages):
    """Returns the name of the repository for a wheel.

    The name contains the version only if the lock contains several versions.

    The repository mappings of all programs contain these names, so a changed name would rebuild all programs.
    """
    version = [_release(package).replace("+", "_").replace("!", "__")] if len(packages[package["name"]]) > 1 else []
    return "__".join([hub, target_name(package["name"])] + version + [platform])

def _release(package):
    """Returns a string that distinguishes the entries of a package: the version and, if specified, the index."""
    return "_".join([package["version"]] + ([package["index"]] if "index" in package else []))

def lock_repo_name(hub):
    """Returns the name of the repository that describes the packages in the lock of a package hub."""
    return hub + "__lock"

def _active(lock, edges, platform):
    """Returns (package, extras) pairs for the edges whose markers are true on a platform.

    Adds errors of the lock to `lock.problems`.
    """
    active = []
    for edge in edges:
        is_active = evaluate_marker(edge.get("marker", ""), lock.environments[platform])
        if is_active == None:
            lock.problems.append(
                ("@{}: the lock contains the invalid marker {}. Restore the committed " +
                 "file, or update the lock.").format(lock.hub, repr(edge["marker"][:100])),
            )
        elif is_active:
            candidates = [
                p
                for p in lock.packages.get(edge["name"], [])
                if p["version"] == edge.get(
                    "version",
                    p["version"],
                ) and p.get("index") == edge.get("index", p.get("index"))
            ]
            if candidates:
                active.append((candidates[0], edge.get("extras", [])))
            else:
                release = " ".join([edge["name"]] + ([edge["version"]] if "version" in edge else []))
                lock.problems.append(
                    ("@{}: the lock requires {}, but doesn't include the package. Update the lock, for example with " +
                     "the bento_requirements target or `uv lock`.").format(lock.hub, release),
                )
    return active

def _next(lock, package, extra, platform):
    """Returns (package, extras) pairs that a package, or one of its extras, requires on a platform.

    Evaluates the markers only once.
    """
    key = (platform, package["name"], _release(package), extra)
    if key not in lock.required:
        edges = package.get("extras", {}).get(extra, []) if extra else package.get("dependencies", [])
        lock.required[key] = _active(lock, edges, platform)
    return lock.required[key]

def _closure(lock, start, platform):
    """Returns a dict of name to package: `start`, a list of (package, extras) pairs, and transitive dependencies.

    Adds errors to `lock.problems`.
    """
    queue = list(start)
    seen = {}
    closure = {}

    # Starlark has no `while`. Each iteration processes one package of the queue, which contains a package at most once
    # for each edge.
    for _ in range(1000000):
        if not queue:
            return closure
        package, extras = queue.pop()
        other = closure.setdefault(package["name"], package)
        if _release(other) != _release(package):
            lock.problems.append(("@{3}: the lock contains {0} {1} and {0} {2} for the same platform. Update the " +
                                  "lock, for example with the bento_requirements target or `uv lock`, or select " +
                                  "extras and groups that require only one of the versions.").format(
                package["name"],
                other["version"],
                package["version"],
                lock.hub,
            ))
        for extra in [""] + extras:
            if (package["name"], extra) not in seen:
                seen[(package["name"], extra)] = True
                queue += _next(lock, package, extra, platform)
    lock.problems.append(
        ("@{}: the lock's dependency graph has more than 1,000,000 dependencies. Remove requirements, and update " +
         "the lock.").format(lock.hub),
    )
    return closure

def _no_match(lock, distribution, platforms):
    """Returns the error message for builds on a platform that isn't in `platforms`.

    The lock has the package for these platforms.
    """
    if len(platforms) == len(lock.environments):
        return ("@{0} is for {1}, but the build is for another platform. Add the platform to platforms of " +
                "bento.pypi(name = \"{0}\") in MODULE.bazel.").format(
            lock.hub,
            ", ".join(platforms),
        )
    return ("@{} has {} for Python {} {} of {}, because of markers in the lock. Exclude the package from the build, " +
            "or lock {} directly, without a marker.").format(
        lock.hub,
        distribution,
        lock.python_version,
        "only on " + ", ".join(platforms) if platforms else "on none",
        ", ".join(lock.environments),
        distribution,
    )

def _is_built(lock, package, platform):
    """Returns whether builds must build a package from source.

    From git, or from a source archive because no wheel is compatible.
    """
    if "git" in package.get("source", {}):
        return True
    return bool(source_file(package["files"])) and not best_wheel(
        package["files"],
        platform,
        lock.python_version,
        lock.glibc,
        lock.macos,
    )

def _labels(lock, package, platform):
    """Returns a struct with the labels of a package's `wheel`, its `modules`, and its `tool_modules`.

    Tools of actions get `tool_modules`.
    """
    repository = "@" + wheel_repo_name(lock.hub, package, platform, lock.packages)
    if _is_built(lock, package, platform):
        return struct(
            modules = repository + "_source//:modules",
            tool_modules = repository + "_source//:modules",
            wheel = repository + "_source//:wheel",
        )
    return struct(
        modules = repository + "_modules//:modules",
        tool_modules = repository + "//:modules",
        wheel = repository + "//:wheel",
    )

def _package_label(lock, package, name):
    """Returns the label of a target in the repository of a package."""
    return "@{}//:{}".format(package_repo_name(lock.hub, package["name"]), name)

def _extras(package):
    """Returns the sorted names of a package's extras. `package` maps platforms to entries."""
    return sorted({extra: True for entry in package.values() for extra in entry.get("extras", {})})

# Packages that the import of a service requires: BentoML, and FastAPI, because the service metadata contains FastAPI
# routes.
_IMPORT_PACKAGES = ["bentoml", "fastapi"]

def _requirement(lock, package, extra):
    """Returns the text of the target for a package, or for one of its extras. `package` maps platforms to entries."""
    modules, locked, wheels = {}, {}, {}
    for platform, entry in package.items():
        closure = [p for _, p in sorted(_closure(lock, [(entry, [extra] if extra else [])], platform).items())]
        files = [_labels(lock, p, platform) for p in closure]
        locked[platform] = [_package_label(lock, p, "_locked") for p in closure]
        modules[platform] = [labels.modules for labels in files]
        modules[platform + "_tool"] = [labels.tool_modules for labels in files]
        wheels[platform + "_files"] = [labels.wheel for labels in files]

        # Configurations that require only wheels have no modules, so that Bazel doesn't fetch modules.
        modules[platform + "_files"] = []
        imported = [(p, []) for p in closure if p["name"] in _IMPORT_PACKAGES]
        imports = [p for _, p in sorted(_closure(lock, imported, platform).items())]
        modules[platform + "_import"] = [_labels(lock, p, platform).modules for p in imports]
        wheels[platform] = []
    distribution = package.values()[0]["name"]
    no_match = _no_match(lock, distribution, package.keys())
    return target_text(
        "requirement",
        {
            "modules": select_text(modules, no_match),
            "packages": select_text(locked, no_match),
            "platform": select_text({platform: platform for platform in package}, no_match),
            "wheels": select_text(wheels, no_match),
        },
        distribution = distribution,
        extra = extra,
        glibc = lock.glibc,
        name = extra_name(extra, distribution) if extra else target_name(distribution),
        python_version = lock.python_version,
    )

def _build_file(lock, package):
    """Returns the text of the BUILD file for a package. `package` maps platforms to entries."""
    no_match = _no_match(lock, package.values()[0]["name"], package.keys())
    descriptions = {platform: "locked-{}.json".format(_release(entry)) for platform, entry in package.items()}
    build = load_text(
        "private:hub_rules.bzl",
        "deferred",
        "locked_package",
        "requirement",
    ) + target_text("package", default_visibility = PUBLIC)
    build += target_text("locked_package", {"description": select_text(descriptions, no_match)}, name = "_locked")
    wheels = {platform: _labels(lock, entry, platform).wheel for platform, entry in package.items()}
    build += target_text("deferred", labels = platform_cases(wheels), name = "whl", no_match_error = no_match)
    for extra in [""] + _extras(package):
        build += _requirement(lock, package, extra)
    return build

def _failing_build_file(distribution, extras, problem):
    """Returns the text of a BUILD file whose targets fail with the error `problem`."""
    return failing_text(
        [target_name(distribution), "whl"] + [extra_name(extra, distribution) for extra in extras],
        problem,
    )

def python_mismatch(hub, requires_python, version):
    """Returns the error for a Python version that the lock doesn't support, or None for a supported version."""
    if is_python_in(requires_python, version):
        return None
    compatible = [known for known in PYTHON_VERSIONS if is_python_in(requires_python, known)]
    remedy = "Set python_version = \"{}\" in bento.pypi, or update the lock.".format(
        compatible[0],
    ) if compatible else "Update the lock."
    if "__python_" in hub:  # of more_python_versions
        remedy = ("A requirements file is read for one Python: use a uv.lock whose requires-python includes {}, or " +
                  "a second bento.pypi tag.").format(version)
    return "@{} is for Python {}, but the lock is for {}. {}".format(hub, version, requires_python, remedy)

def _lock_repo_impl(rctx):
    content = json.decode(rctx.attr.lock)
    version = python_version(rctx)

    # The targets fail with the error, not the repository rule, which would also break `bazel query`.
    mismatch = python_mismatch(rctx.attr.hub, content["requires_python"], version)
    lock = struct(
        environments = {platform: marker_environment(platform, version) for platform in rctx.attr.platforms},
        glibc = rctx.attr.glibc,
        hub = rctx.attr.hub,
        macos = rctx.attr.macos,
        packages = by_name(content["packages"]),
        problems = [mismatch] if mismatch else [],
        python_version = version,
        required = {},
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
        rctx.file("packages/{}.json".format(target_name(name)), json.encode_indent({
            "build": builds[name] if is_usable else _failing_build_file(
                name,
                extras,
                problem or _no_match(lock, name, []),
            ),
            "locked": {_release(entry): entry for entry in package.values()} if is_usable else {},
        }))
    rctx.file("hub.json", json.encode_indent(hub))
    rctx.file("BUILD.bazel", "")
    return mark_reproducible(rctx)

lock_repo = repository_rule(
    implementation = _lock_repo_impl,
    doc = "For each package of a lock, writes a file with the package's targets for several platforms and one " +
          "Python version. The package's repository is generated from this file.",
    attrs = {
        "glibc": attr.string(doc = "Newest glibc version that wheels can require (`X.Y`).", mandatory = True),
        "hub": attr.string(doc = "Name of the package hub.", mandatory = True),
        "lock": attr.string(doc = "Content of the lock, as a JSON string.", mandatory = True),
        "macos": attr.string(doc = "Newest macOS version that wheels can require (`X.Y`).", mandatory = True),
        "platforms": attr.string_list(doc = "Target platforms (`<os>_<architecture>`).", mandatory = True),
        "python": attr.label(doc = "File that contains the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(
            doc = "Python version of the packages (`X.Y`). Default: the version in the file that `python` specifies.",
        ),
    },
)

def _package_repo_impl(rctx):
    # The rule reads the file by its label. Bazel then compares only the digest of this file to determine whether the
    # repository is stale.
    content = json.decode(rctx.read(rctx.attr.content))
    for release, entry in content["locked"].items():
        rctx.file("locked-{}.json".format(release), json.encode_indent(entry) + "\n")
    rctx.file("BUILD.bazel", content["build"])
    return mark_reproducible(rctx)

package_repo = repository_rule(
    implementation = _package_repo_impl,
    doc = "Declares the targets of a locked package. Bazel fetches the repository again only if the file in the " +
          "attribute `content` changes.",
    attrs = {
        "content": attr.label(doc = "File in the lock's repository that describes the package.", mandatory = True),
    },
)
