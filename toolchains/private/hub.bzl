"""The hub of a lock: a target for each package, over its closure. Nothing is fetched but what a build asks for."""

load("//toolchains:indexes.bzl", "indexes_of_package")
load(":build_text.bzl", "build_text")
load(":fetch.bzl", "mark_reproducible")
load(":hub_packages.bzl", "alias_text", "by_name", "extra_name", "lock_repo", "lock_repo_name", "package_repo", "package_repo_name", "target_name", "wheel_repo_name")
load(":source.bzl", "source_file", "source_repo")
load(":wheel.bzl", "wheel_modules_repo", "wheel_repo")

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
