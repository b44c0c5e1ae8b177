"""Declares the repositories of packages in a hub, and of the file that describes each package."""

load(":build_text.bzl", "target_text")
load(":fetch.bzl", "helper_packages", "mark_reproducible", "run_helper")

# Files of the helper that determine the plan of a package hub.
_PLAN = ["hub_plan", "platforms", "wheel_choice"]

def target_name(name):
    """Returns the name of the target for a package."""
    return name.replace("-", "_").replace(".", "_")

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

def wheel_repo_name(hub, package, packages):
    """Returns the name of the repositories for the wheels of a release, without the platform.

    The name contains the version only if the lock contains several versions.

    The repository mappings of all programs contain these names, so a changed name would rebuild all programs.
    """
    name = [hub, target_name(package["name"])]
    if len(packages[package["name"]]) > 1:
        release = [package["version"]] + ([package["index"]] if "index" in package else [])
        name.append("_".join(release).replace("+", "_").replace("!", "__"))
    return "__".join(name)

def lock_repo_name(hub):
    """Returns the name of the repository that describes the packages in the lock of a package hub."""
    return hub + "__lock"

def _lock_repo_impl(rctx):
    packages = helper_packages(rctx)
    for name in _PLAN:
        rctx.watch(Label("//py:rules_bento/bentos/packages/{}.py".format(name)))
    rctx.file("settings.json", rctx.attr.settings)
    arguments = ["--settings", rctx.path("settings.json"), "--output", rctx.path(".")]
    version = rctx.attr.python_version or rctx.read(rctx.attr.python)
    run_helper(rctx, "@" + rctx.attr.hub, "plan_hub", arguments + ["--python-version", version], packages)
    rctx.file("BUILD.bazel", "")
    return mark_reproducible(rctx)

lock_repo = repository_rule(
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

package_repo = repository_rule(
    implementation = _package_repo_impl,
    doc = "Declares the targets of a locked package. Bazel fetches the repository again only if the file in the " +
          "attribute `content` changes.",
    attrs = {
        "content": attr.label(doc = "File in the lock's repository that describes the package.", mandatory = True),
    },
)
