"""Declares package hubs, which have a target for each locked package, including its transitive dependencies.

Bazel fetches only the wheels that a build needs. If Bazel writes a repository again, it also analyzes all users of the
repository again, even if the contents didn't change. Therefore, each package has a separate repository. Bazel writes
this repository again only if the lock changes the package or its transitive dependencies."""

load("//private:attributes.bzl", "minor_version")
load("//private:indexes.bzl", "indexes_of_package")
load("//private:versions.bzl", "PYTHON_VERSIONS")
load(":build_text.bzl", "PUBLIC", "build_text", "load_text", "target_text")
load(":fetch.bzl", "helper_packages", "mark_reproducible", "run_helper")
load(":source.bzl", "source_repo")
load(":wheel.bzl", "wheel_modules_repo", "wheel_repo")

_INTERPRETER = "@bento_python//:path"

# Files of the helper that determine the plan of a package hub.
_PLAN = ["hub_plan", "platforms", "wheel_choice"]

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
        remedy = "Add the package to the requirements, and update the lock."
        fail("the lock of @{{}} doesn't contain {{}}. {{}}".format({hub}, name, remedy))
    return Label("//" + target)
'''

def _target_name(name):
    """Returns the name of the target for a package."""
    return name.replace("-", "_").replace(".", "_")

def _by_name(packages):
    """Returns a dict of name to the list of entries for a package. A lock can contain several versions of a package."""
    result = {}
    for package in packages:
        result.setdefault(package["name"], []).append(package)
    return result

def _package_repo_name(hub, name):
    """Returns the name of the repository for a package."""
    return "{}__{}__package".format(hub, _target_name(name))

def _wheel_repo_name(hub, package, packages):
    """Returns the name of the repositories for the wheels of a release, without the platform.

    The name contains the version only if the lock contains several versions.

    The repository mappings of all programs contain these names, so a changed name would rebuild all programs.
    """
    name = [hub, _target_name(package["name"])]
    if len(packages[package["name"]]) > 1:
        release = [package["version"]] + ([package["index"]] if "index" in package else [])
        name.append("_".join(release).replace("+", "_").replace("!", "__"))
    return "__".join(name)

def lock_repo_name(hub):
    """Returns the name of the repository that describes the packages in the lock of a package hub."""
    return hub + "__lock"

def _declare_wheel(hub, package, platform, settings, build):
    wheel = "{}__{}".format(package["repository"], platform)
    source = package.get("source", {})
    special = settings.special.wheels.get(package["name"], {})
    version = minor_version(settings.python_version)
    is_compiled = version in PYTHON_VERSIONS and not settings.compiler
    release = {
        "choice": "@{}//:wheels/{}.json".format(lock_repo_name(hub), wheel),
        "compilers": "@bento_compilers//:" + version if is_compiled else "",
        "distribution": package["name"],
        "exclude": special.get("exclude", {}).get(platform, []),
        "exclude_preset": special.get("exclude_preset", []),
        "indexes": indexes_of_package(settings.indexes, package["name"]),
        "lock": settings.relative_to,
        "package_metadata_bzl": settings.special.package_metadata_bzl,
        "platform": platform,
        "url": source.get("url", ""),
        "uv": "@bento_uv//:uv",
        "version": package["version"],
    }
    wheel_repo(
        name = wheel,
        allow_record_mismatch = special.get("allow_record_mismatch", []),
        **release
    )
    wheel_modules_repo(
        name = wheel + "_modules",
        compiler = settings.compiler,
        distribution = package["name"],
        version = package["version"],
        wheel = "@{}//:name".format(wheel),
    )
    if "git" in source or [file for file in package["files"] if file.endswith((".tar.gz", ".zip"))]:
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

_NO_SPECIAL = struct(package_metadata_bzl = None, wheels = {})

def wheel_settings(*, newest, python_version, indexes = "", relative_to = None, compiler = None, special = _NO_SPECIAL):
    """Returns the settings with which a package hub selects, fetches, and unpacks wheels.

    Args:
      newest: struct of `glibc` and `macos`, the newest versions that wheels can require.
      python_version: Python version, in the form `X.Y`; empty for the version of the toolchain's interpreter.
      indexes: result of `encode_indexes`.
      relative_to: label of a lock, or None. Directories in `indexes` are relative to the root of the repository that
        contains the lock.
      compiler: label of a file that contains the path of the interpreter that compiles modules, or None.
      special: struct of `package_metadata_bzl`, the label of a .bzl file or None, and `wheels`, the settings of wheels
        by package (see hub_settings.py of the helper).

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

def declare_hub(*, name, lock, platforms, settings, build = None, **aliases):
    """Declares the repositories of a lock, without fetching them.

    Args:
      name: name of the package hub.
      lock: the decoded lock.
      platforms: list of target platforms, in the form `<os>_<architecture>`.
      settings: result of `wheel_settings`.
      build: struct that describes the build requirements: `hub`, `lock` (a label, shown in error messages), and
        `packages` (names). If None, the packages of this package hub are the build requirements.
      **aliases: attributes of the repository `name`: `versions`.
    """
    packages = _by_name(lock["packages"])
    own = struct(
        hub = name,
        lock = ("a bento_requirements target, and set build_lock in bento.pypi(name = \"{}\") to the lock of this " +
                "target").format(name.partition("__python_")[0]),
        packages = sorted(packages),
    )
    entries = [
        package | {"repository": _wheel_repo_name(name, package, packages)}
        for package in lock["packages"]
    ]
    for platform in platforms:
        for package in entries:
            _declare_wheel(name, package, platform, settings, build or own)
    _lock_repo(
        name = lock_repo_name(name),
        hub = name,
        python = "@bento_python//:version",
        python_version = settings.python_version,
        settings = json.encode({
            "glibc": settings.glibc,
            "hub": name,
            "lock": {"packages": entries, "requires_python": lock["requires_python"], "roots": lock["roots"]},
            "macos": settings.macos,
            "platforms": platforms,
        }),
    )
    for distribution in packages:
        _package_repo(
            name = _package_repo_name(name, distribution),
            content = "@{}//:packages/{}.json".format(lock_repo_name(name), _target_name(distribution)),
        )
    _hub_repo(name = name, content = "@{}//:hub.json".format(lock_repo_name(name)), hub = name, **aliases)

def _lock_repo_impl(rctx):
    packages = helper_packages(rctx)
    for name in _PLAN:
        rctx.watch(Label("//py:rules_bento/bentos/packages/{}.py".format(name)))
    rctx.file("settings.json", rctx.attr.settings)
    arguments = ["--settings", rctx.path("settings.json"), "--output", rctx.path(".")]
    version = rctx.attr.python_version or rctx.read(rctx.attr.python)
    run_helper(rctx, "@" + rctx.attr.hub, "plan_hub", arguments + ["--python-version", version], packages)
    rctx.delete("settings.json")
    rctx.file("BUILD.bazel", "")
    return mark_reproducible(rctx)

_lock_repo = repository_rule(
    implementation = _lock_repo_impl,
    doc = "Runs the helper, which writes a file for each package of a lock, with the package's targets for several " +
          "platforms and one Python version, and a file for each wheel. Their repositories are generated from these " +
          "files.",
    attrs = {
        "hub": attr.string(doc = "Name of the package hub.", mandatory = True),
        "python": attr.label(doc = "File that contains the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(
            doc = "Python version of the packages (`X.Y`). Default: the version in the file that `python` specifies.",
        ),
        "settings": attr.string(doc = "Lock and settings of the package hub, as a JSON string.", mandatory = True),
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

_package_repo = repository_rule(
    implementation = _package_repo_impl,
    doc = "Declares the targets of a locked package. Bazel fetches the repository again only if the file in the " +
          "attribute `content` changes.",
    attrs = {
        "content": attr.label(doc = "File in the lock's repository that describes the package.", mandatory = True),
    },
)

def _alias(rctx, distribution, name, tags):
    """Returns the text of an alias in the package hub.

    With `versions`, it selects a package hub by the configuration's Python version.
    """
    target = "@{}//:" + name
    actual = target.format(_package_repo_name(rctx.attr.hub, distribution))
    if not rctx.attr.versions:
        return target_text("alias", actual = actual, name = name, tags = tags)
    by_version = {
        version: target.format(_package_repo_name(hub, distribution))
        for version, hub in rctx.attr.versions.items()
    }

    # Without `python_version` in the tag, the version of the package hub is unknown here.
    other = actual if "" in by_version else "//:" + _OTHER_PYTHON
    selected = "select({})".format(repr({
        "@rules_bento//toolchains/platforms:python_" + version.replace(".", "_"): by_version.get(version, other)
        for version in PYTHON_VERSIONS
    } | {"//conditions:default": actual}))
    return target_text("alias", {"actual": selected}, name = name, tags = tags)

def _hub_repo_impl(rctx):
    content = json.decode(rctx.read(rctx.attr.content))
    for distribution, names in content["packages"].items():
        # The tag `manual` excludes packages without a platform from wildcard patterns.
        tags = [] if distribution in content["active"] else ["manual"]
        targets = [_alias(rctx, distribution, name, tags) for name in names]
        rctx.file(
            _target_name(distribution) + "/BUILD.bazel",
            target_text("package", default_visibility = PUBLIC) + "".join(targets),
        )
    rctx.file("requirements.bzl", build_text(
        _REQUIREMENTS,
        active = [_target_name(name) for name in content["active"]],
        hub = rctx.attr.hub,
        locked = [_target_name(name) for name in content["packages"]],
    ))
    head = load_text("private:hub_rules.bzl", "other_python") + target_text(
        "exports_files",
        srcs = ["requirements.bzl"],
    )
    rctx.file("BUILD.bazel", head + target_text(
        "other_python",
        hub = rctx.attr.hub,
        name = _OTHER_PYTHON,
        python_versions = rctx.attr.versions.keys(),
        visibility = ["//:__subpackages__"],
    ))
    return mark_reproducible(rctx)

_hub_repo = repository_rule(
    implementation = _hub_repo_impl,
    doc = "Declares an alias for each package of a lock. The actual targets are in separate repositories, so a new " +
          "version of a package doesn't change this repository.",
    attrs = {
        "content": attr.label(
            doc = "File in the lock's repository that lists the names of packages and their targets.",
            mandatory = True,
        ),
        "hub": attr.string(doc = "Name of the package hub.", mandatory = True),
        "versions": attr.string_dict(
            doc = "Package hubs of all Python versions. Keys are versions (`X.Y`); values are names of package " +
                  "hubs with the same lock, including this one. Other versions are errors. Empty for a hub that " +
                  "provides the same packages for each version.",
        ),
    },
)
