"""The hub of a lock: a target for each package, over its closure. Nothing is fetched but what a build asks for."""

load("//toolchains:indexes.bzl", "indexes_of_package")
load(":build_text.bzl", "build_text", "select_text")
load(":fetch.bzl", "mark_reproducible")
load(":hub_settings.bzl", "PYTHON_VERSIONS")
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
        fail("the lock of @{{}} has no {{}}: add it to what is locked, and write the lock again".format({hub}, name))
    return Label("//" + target)
'''

_PACKAGE_HEAD = """\
package(default_visibility = ["//visibility:public"])
"""

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
        allow_record_mismatch = special.allow_record_mismatch.get(package["name"], []),
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

_NOTHING_SPECIAL = struct(exclude = {}, exclude_preset = {}, allow_record_mismatch = {})

def wheel_settings(*, newest, python_version, indexes = "", folders_from = None, compiler = None, special = _NOTHING_SPECIAL):
    """Collects how the wheels of a hub are chosen, found and unpacked.

    Args:
      newest: what a wheel may ask for: a struct with `glibc`, the newest C library, and `macos`, the newest macOS.
      python_version: `X.Y`, or empty for that of the toolchain's interpreter.
      indexes: where packages come from, as `encode_indexes` writes it.
      folders_from: label of the lock, where `indexes` name folders; they are from the root of its repository.
      compiler: label of a file with the path of an interpreter that compiles the modules; None to leave them as they are.
      special: what holds for single packages: a struct of dicts. `allow_record_mismatch` has by name the SHA-256 of wheels that are taken
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
    packages = by_name(lock["packages"])
    own = struct(
        hub = name,
        lock = "the lock of @{}".format(name),
        packages = sorted(packages),
    )
    for platform in platforms:
        for package in lock["packages"]:
            _declare_wheel(wheel_repo_name(name, package, platform, packages), package, platform, settings, build or own)
    lock_repo(
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
        package_repo(
            name = package_repo_name(name, distribution),
            content = "@{}//:packages/{}.json".format(lock_repo_name(name), target_name(distribution)),
        )
    hub_repo(
        name = name,
        content = "@{}//:hub.json".format(lock_repo_name(name)),
        hub = name,
        versions = versions,
    )

def _alias(rctx, distribution, name, tags):
    """Returns the text of a target of the hub; another version of Python is another hub."""
    target = "@{}//:" + name
    actual = target.format(package_repo_name(rctx.attr.hub, distribution))
    if not rctx.attr.versions:
        return alias_text(name, repr(actual), tags)
    of_versions = {
        "@rules_bento//toolchains/platforms:python_" + version.replace(".", "_"): target.format(package_repo_name(hub, distribution))
        for version, hub in rctx.attr.versions.items()
    }
    selected = "select({})".format(repr(of_versions | {"//conditions:default": actual}))
    return alias_text(name, selected, tags)

def _hub_repo_impl(rctx):
    content = json.decode(rctx.read(rctx.attr.content))
    for distribution, extras in content["packages"].items():
        # A wildcard asks for no package that is there on no platform.
        tags = [] if distribution in content["active"] else ["manual"]
        names = [target_name(distribution), "whl"] + [extra_name(extra, distribution) for extra in extras]
        targets = [_alias(rctx, distribution, name, tags) for name in names]
        rctx.file(target_name(distribution) + "/BUILD.bazel", _PACKAGE_HEAD + "".join(targets))
    rctx.file("requirements.bzl", build_text(
        _REQUIREMENTS,
        folders = [target_name(name) for name in content["active"]],
        hub = rctx.attr.hub,
        locked = [target_name(name) for name in content["packages"]],
    ))
    rctx.file("BUILD.bazel", _ROOT_BUILD)
    return mark_reproducible(rctx)

hub_repo = repository_rule(
    implementation = _hub_repo_impl,
    doc = "A name for each package of a lock. What it stands for is said by a repository of its own, so that another version of one changes nothing here.",
    attrs = {
        "content": attr.label(doc = "What the repository of the lock has of it: names of packages and extras.", mandatory = True),
        "hub": attr.string(doc = "Name of the hub, as its users write it.", mandatory = True),
        "versions": attr.string_dict(doc = "Other versions of Python, `X.Y`, to the hubs for them."),
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
load("@rules_bento//rules/private:hub_rules.bzl", "locked_package", "requirement")

package(default_visibility = ["//visibility:public"])

locked_package(
    name = "_locked",
    description = {description},
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

def target_name(name):
    """Spells a package as targets do.

    Args:
      name: of the package, normalized.

    Returns:
      A string.
    """
    return name.replace("-", "_").replace(".", "_")

def extra_name(extra, distribution):
    """Names the target of an extra: as the extra, unless another target has that name.

    Args:
      extra: its name.
      distribution: normalized name of the package.

    Returns:
      A string.
    """
    return "extra_" + extra if extra in (target_name(distribution), "whl", "locked", "_locked") else extra

def by_name(packages):
    """Sorts the packages of a lock by their names.

    Args:
      packages: list of dicts.

    Returns:
      A dict of lists; a name has several where the lock has several versions.
    """
    result = {}
    for package in packages:
        result.setdefault(package["name"], []).append(package)
    return result

def alias_text(name, actual, tags):
    """Writes another name of a target.

    Args:
      name: the other name.
      actual: what it stands for, as the BUILD file says it.
      tags: list of strings.

    Returns:
      A text for a BUILD file.
    """
    return build_text(_ALIAS, {"actual": actual}, name = name, tags = tags)

def package_repo_name(hub, name):
    """Names the repository of a package.

    Args:
      hub: name of the hub.
      name: of the package, normalized.

    Returns:
      A string.
    """
    return "{}__{}__package".format(hub, target_name(name))

def wheel_repo_name(hub, package, platform, packages):
    """Names the repository of a wheel, with the version where the lock has several of the package.

    Names of repositories are part of the repository mapping of each program, so that another name writes all of them anew.

    Args:
      hub: name of the hub.
      package: of the lock, a dict.
      platform: `<os>_<machine>`.
      packages: what `by_name` returned.

    Returns:
      A string.
    """
    version = [_release(package).replace("+", "_").replace("!", "__")] if len(packages[package["name"]]) > 1 else []
    return "__".join([hub, target_name(package["name"])] + version + [platform])

def _release(package):
    """Tells packages of one name apart: by version, and by index where several have the version."""
    return "_".join([package["version"]] + ([package["index"]] if "index" in package else []))

def lock_repo_name(hub):
    """Names the repository of what a lock says of each package.

    Args:
      hub: name of the hub.

    Returns:
      A string.
    """
    return hub + "__lock"

def _chosen(edges, packages, environment):
    """Returns the (package, extras) of those edges whose markers hold."""
    chosen = []
    for edge in edges:
        if evaluate_marker(edge.get("marker", ""), environment):
            found = [
                p
                for p in packages.get(edge["name"], [])
                if p["version"] == edge.get("version", p["version"]) and p.get("index") == edge.get("index", p.get("index"))
            ]
            if not found:
                release = " ".join([edge["name"]] + ([edge["version"]] if "version" in edge else []))
                fail("the lock names {}, and does not have it: write the lock again".format(release))
            chosen.append((found[0], edge.get("extras", [])))
    return chosen

def _closure(start, packages, environment):
    """Returns the packages, by name, that a list of (package, extras) needs, itself among them."""
    queue = list(start)
    seen = {}
    closure = {}

    # Starlark has no `while`; each turn takes one package of the queue, and each is queued once for an edge.
    for _ in range(1000000):
        if not queue:
            return closure
        package, extras = queue.pop()
        other = closure.setdefault(package["name"], package)
        if _release(other) != _release(package):
            fail("the lock gives one platform {0} {1} and {0} {2}: lock again, or choose extras and groups of which one is needed".format(
                package["name"],
                other["version"],
                package["version"],
            ))
        for extra in [""] + extras:
            if (package["name"], extra) not in seen:
                seen[(package["name"], extra)] = True
                edges = package.get("extras", {}).get(extra, []) if extra else package.get("dependencies", [])
                queue += _chosen(edges, packages, environment)
    return fail("the lock has no end")

def _no_match(lock, distribution, platforms):
    """Returns the error for a build on a platform that a package is not there on, with a remedy."""
    if len(platforms) == len(lock.environments):
        return "@{0} is for {1}, and this build for another platform: add its name to platforms of bento.pypi(name = \"{0}\") in MODULE.bazel".format(
            lock.hub,
            ", ".join(platforms),
        )
    return "@{} has {} for Python {} on {} of {}, by the markers of its lock: leave it out of this build, or lock {} itself, without a marker".format(
        lock.hub,
        distribution,
        lock.python_version,
        ", ".join(platforms) + " alone" if platforms else "none",
        ", ".join(lock.environments),
        distribution,
    )

def _is_built(lock, package, platform):
    """Returns whether a package's wheel is built from source, because no wheel fits."""
    if "git" in package.get("source", {}):
        return True
    return bool(source_file(package["files"])) and not best_wheel(package["files"], platform, lock.python_version, lock.glibc, lock.macos)

def _labels(lock, package, platform):
    """Returns the labels of a package's wheel and of its modules."""
    repository = "@" + wheel_repo_name(lock.hub, package, platform, lock.packages)
    if _is_built(lock, package, platform):
        return struct(modules = repository + "_source//:modules", wheel = repository + "_source//:wheel")
    return struct(modules = repository + "_modules//:modules", wheel = repository + "//:wheel")

def _extras(package):
    """Returns the extras of a package, which is by platform."""
    return sorted({extra: True for found in package.values() for extra in found.get("extras", {})})

# What the import of a service takes: BentoML, and FastAPI, whose routes BentoML writes into the metadata of a service.
_IMPORTED = ["bentoml", "fastapi"]

def _requirement(lock, package, extra):
    """Returns the text of a package's target, or of one of its extras'. `package` is by platform."""
    modules, locked, wheels = {}, {}, {}
    for platform, found in package.items():
        closure = [
            p
            for _, p in sorted(_closure([(found, [extra] if extra else [])], lock.packages, lock.environments[platform]).items())
        ]
        locked[platform] = ["@{}//:_locked".format(package_repo_name(lock.hub, p["name"])) for p in closure]
        labels = [_labels(lock, p, platform) for p in closure]
        modules[platform] = [label.modules for label in labels]
        wheels[platform + "_files"] = [label.wheel for label in labels]

        # A configuration that only states packages, or needs only their files, gets no modules or wheels, so that Bazel fetches none.
        modules[platform + "_metadata"] = []
        modules[platform + "_files"] = []
        imported = [(p, []) for p in closure if p["name"] in _IMPORTED]
        imports = [p for _, p in sorted(_closure(imported, lock.packages, lock.environments[platform]).items())]
        modules[platform + "_import"] = [_labels(lock, p, platform).modules for p in imports]
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
        name = extra_name(extra, distribution) if extra else target_name(distribution),
        python_version = lock.python_version,
    )

def _build_file(lock, package):
    """Returns the BUILD file of a package that is there on some platforms; `package` is by platform."""
    no_match = _no_match(lock, package.values()[0]["name"], package.keys())
    descriptions = {platform: "locked-{}.json".format(_release(found)) for platform, found in package.items()}
    build = build_text(_LOCKED_PACKAGE, {"description": select_text(descriptions, no_match)})
    wheels = {platform: _labels(lock, found, platform).wheel for platform, found in package.items()}
    build += alias_text("whl", select_text(wheels, no_match), [])
    for extra in [""] + _extras(package):
        build += _requirement(lock, package, extra)
    return build

def _left_out_build_file(lock, distribution):
    """Returns the BUILD file of a package that is there on no platform: its targets say why."""
    actual = select_text({"none": ":BUILD.bazel"}, _no_match(lock, distribution, []))
    targets = [alias_text(target, actual, ["manual"]) for target in (target_name(distribution), "whl")]
    return 'package(default_visibility = ["//visibility:public"])\n' + "".join(targets)

def _lock_repo_impl(rctx):
    content = json.decode(rctx.attr.lock)
    version = python_version(rctx)
    if not fits_python(content["requires_python"], version):
        fitting = [known for known in PYTHON_VERSIONS if fits_python(content["requires_python"], known)]
        fail("@{} is for Python {}, but its lock for {}: {}lock again".format(
            rctx.attr.hub,
            version,
            content["requires_python"],
            "write python_version = \"{}\" in bento.pypi, or ".format(fitting[0]) if fitting else "",
        ))
    lock = struct(
        environments = {platform: marker_environment(platform, version) for platform in rctx.attr.platforms},
        glibc = rctx.attr.glibc,
        hub = rctx.attr.hub,
        macos = rctx.attr.macos,
        packages = by_name(content["packages"]),
        python_version = version,
    )
    active = {
        platform: _closure(_chosen(content["roots"], lock.packages, environment), lock.packages, environment)
        for platform, environment in lock.environments.items()
    }
    hub = {"active": [], "packages": {}}
    for name in sorted(lock.packages):
        package = {platform: packages[name] for platform, packages in active.items() if name in packages}
        if package:
            hub["active"].append(name)
        hub["packages"][name] = _extras(package)
        rctx.file("packages/{}.json".format(target_name(name)), json.encode_indent({
            "build": _build_file(lock, package) if package else _left_out_build_file(lock, name),
            "locked": {_release(found): found for found in package.values()},
        }))
    rctx.file("hub.json", json.encode_indent(hub))
    rctx.file("BUILD.bazel", "")
    return mark_reproducible(rctx)

lock_repo = repository_rule(
    implementation = _lock_repo_impl,
    doc = "What a lock says of each package, for platforms and a Python: a file for each, from which its repository is written.",
    attrs = {
        "glibc": attr.string(doc = "The newest C library that a wheel may ask for.", mandatory = True),
        "hub": attr.string(doc = "Name of the hub, as its users write it.", mandatory = True),
        "lock": attr.string(doc = "The lock, as JSON.", mandatory = True),
        "macos": attr.string(doc = "The newest macOS that a wheel may ask for.", mandatory = True),
        "platforms": attr.string_list(doc = "What it is for, `<os>_<machine>` each.", mandatory = True),
        "python": attr.label(doc = "File with the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Takes precedence over `python`."),
    },
)

def _package_repo_impl(rctx):
    # Read by its label, so Bazel goes by the digest of this one file.
    content = json.decode(rctx.read(rctx.attr.content))
    for release, found in content["locked"].items():
        rctx.file("locked-{}.json".format(release), json.encode_indent(found) + "\n")
    rctx.file("BUILD.bazel", content["build"])
    return mark_reproducible(rctx)

package_repo = repository_rule(
    implementation = _package_repo_impl,
    doc = "The targets of a package of a lock. Bazel writes it again where the content of its one file has changed.",
    attrs = {
        "content": attr.label(doc = "What the repository of the lock has of it.", mandatory = True),
    },
)
