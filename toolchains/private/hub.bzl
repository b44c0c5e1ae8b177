"""The hub of a lock: a target for each package, over its closure. Nothing is fetched but what a build asks for."""

load(":markers.bzl", "evaluate_marker", "marker_environment")
load(":wheel.bzl", "python_version", "wheel_modules_repo", "wheel_repo")

_PYTHON = "@bento_python//:version"

_ROOT_BUILD = """\
exports_files(["requirements.bzl"])
"""

_REQUIREMENTS = '''\
"""The packages of this lock."""

all_requirements = {}

def requirement(name):
    """The label of a package.

    Args:
      name: of the package, as the index or as Python spells it.

    Returns:
      A label.
    """
    return Label("//" + name.lower().replace("-", "_").replace(".", "_"))
'''

_PACKAGE_HEAD = """\
load("@rules_bento//rules/private:locked_package.bzl", "locked_package")
load("@rules_bento//rules/private:requirement.bzl", "requirement")

package(default_visibility = ["//visibility:public"])

locked_package(
    name = "locked",
    description = {description},
)

alias(
    name = "wheel",
    actual = {wheel},
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

def _wheel_repo_name(hub, package, platform):
    return "{}__{}__{}__{}".format(hub, _target_name(package["name"]), package["version"].replace("+", "_"), platform)

def _target_name(name):
    """The name of a package as the hub spells it."""
    return name.replace("-", "_").replace(".", "_")

def declare_hub(*, name, lock, platforms, python_version, glibc):
    """Declares the repositories of a lock; none is fetched by that.

    Args:
      name: of the hub.
      lock: the lock, decoded.
      platforms: list of `<os>_<machine>`.
      python_version: `X.Y`, or empty for that of the toolchain's interpreter.
      glibc: the newest C library that a wheel may ask for.
    """
    for platform in platforms:
        for package in lock["packages"]:
            wheel = _wheel_repo_name(name, package, platform)
            wheel_repo(
                name = wheel,
                distribution = package["name"],
                files = package["files"],
                glibc = glibc,
                platform = platform,
                python = _PYTHON,
                python_version = python_version,
                refused = package.get("refused", []),
                uv = "@bento_uv//:uv",
                version = package["version"],
            )
            wheel_modules_repo(
                name = wheel + "_modules",
                distribution = package["name"],
                version = package["version"],
                wheel = "@{}//:name".format(wheel),
            )
    hub_repo(
        name = name,
        glibc = glibc,
        hub = name,
        lock = json.encode(lock),
        platforms = platforms,
        python = _PYTHON,
        python_version = python_version,
    )

def _chosen(edges, by_name, environment):
    """The (package, extras) that hold of a list of edges."""
    chosen = []
    for edge in edges:
        if evaluate_marker(edge.get("marker", ""), environment):
            found = [p for p in by_name[edge["name"]] if p["version"] == edge.get("version", p["version"])]
            chosen.append((found[0], edge.get("extras", [])))
    return chosen

def _closure(start, by_name, environment):
    """The packages, by name, that a list of (package, extras) needs, itself among them."""
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

def _select(values):
    """The text of a select over platforms."""
    lines = ["    \"@rules_bento//toolchains/platforms:{}\": {},\n".format(key, repr(value)) for key, value in values.items()]
    return "select({\n" + "".join(lines) + "})"

def _requirement(rctx, version, package, extra, by_name, environments):
    """The text of a package's target, or of one of its extras'. `package` is by platform."""
    modules, packages, wheels = {}, {}, {}
    for platform, found in package.items():
        closure = [p for _, p in sorted(_closure([(found, [extra] if extra else [])], by_name, environments[platform]).items())]
        packages[platform] = ["//{}:locked".format(_target_name(p["name"])) for p in closure]
        modules[platform] = ["@{}_modules//:modules".format(_wheel_repo_name(rctx.attr.hub, p, platform)) for p in closure]

        wheels[platform + "_files"] = ["@{}//:wheel".format(_wheel_repo_name(rctx.attr.hub, p, platform)) for p in closure]

        # What a configuration has no use for is not asked for, and so not fetched.
        modules[platform + "_metadata"] = []
        modules[platform + "_files"] = []
        wheels[platform] = []
    distribution = package.values()[0]["name"]
    return _REQUIREMENT.format(
        distribution = distribution,
        extra = extra,
        glibc = rctx.attr.glibc,
        modules = _select(modules),
        name = extra or _target_name(distribution),
        packages = _select(packages),
        platform = _select({platform: platform for platform in package}),
        python_version = version,
        wheels = _select(wheels),
    )

def _package_build(rctx, version, package, by_name, environments):
    """The BUILD file of a package that is there on some platforms; `package` is by platform."""
    build = _PACKAGE_HEAD.format(
        description = _select({platform: "locked-{}.json".format(found["version"]) for platform, found in package.items()}),
        wheel = _select({platform: "@{}//:wheel".format(_wheel_repo_name(rctx.attr.hub, found, platform)) for platform, found in package.items()}),
    )
    extras = {extra: True for found in package.values() for extra in found.get("extras", {})}
    for extra in [""] + sorted(extras):
        build += _requirement(rctx, version, package, extra, by_name, environments)
    return build

def _hub_repo_impl(rctx):
    lock = json.decode(rctx.attr.lock)
    version = python_version(rctx)
    by_name = _by_name(lock["packages"])
    environments = {platform: marker_environment(platform, version) for platform in rctx.attr.platforms}
    active = {
        platform: _closure(_chosen(lock["roots"], by_name, environment), by_name, environment)
        for platform, environment in environments.items()
    }
    labels = []
    for name in sorted(by_name):
        package = {platform: packages[name] for platform, packages in active.items() if name in packages}
        if package:
            folder = _target_name(name)
            rctx.file(folder + "/BUILD.bazel", _package_build(rctx, version, package, by_name, environments))
            for found in package.values():
                rctx.file("{}/locked-{}.json".format(folder, found["version"]), json.encode_indent(found) + "\n")
            labels.append("@{}//{}".format(rctx.attr.hub, folder))
    rctx.file("requirements.bzl", _REQUIREMENTS.format(repr(labels)))
    rctx.file("BUILD.bazel", _ROOT_BUILD)

hub_repo = repository_rule(
    implementation = _hub_repo_impl,
    doc = "A target per package of a lock.",
    attrs = {
        "glibc": attr.string(doc = "The newest C library that a wheel may ask for.", mandatory = True),
        "hub": attr.string(doc = "Name of the hub, as its users write it.", mandatory = True),
        "lock": attr.string(doc = "The lock, as JSON.", mandatory = True),
        "platforms": attr.string_list(doc = "What it is for, `<os>_<machine>` each.", mandatory = True),
        "python": attr.label(doc = "File with the version of the toolchain's interpreter.", mandatory = True),
        "python_version": attr.string(doc = "Takes precedence over `python`."),
    },
)
