"""Defines sources_aspect, which collects the first-party sources of Python libraries and their transitive
dependencies."""

load("@bazel_skylib//lib:paths.bzl", "paths")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoRequirementInfo")
load(":attributes.bzl", "label_string")
load(":launcher.bzl", "runfile_path")
load(":providers.bzl", "BentoSourcesInfo")
load(":versions.bzl", "NEWEST_RULES_PYTHON", "OLDEST_RULES_PYTHON")

# Attributes that can contain Python libraries in any rule. In other attributes, the sources of a library show whether
# its files are in the target (see `edges_in`).
SOURCE_EDGES = ["data", "deps", "py_deps", "runtime_deps", "srcs"]

# Rules whose attributes list their sources. The sources of other rules are determined from PyInfo and runfiles.
_BY_ATTRIBUTES = ["py_binary", "py_library", "py_test"]

def pin_of(ctx):
    """Returns the pin of a package in a hub of rules_python, from its tags: `name==version`, `name`.

    Returns None for other targets.
    """
    tags = {}
    for tag in getattr(ctx.rule.attr, "tags", []):
        name, _, value = tag.partition("=")
        tags[name] = value
    if "pypi_name" not in tags:
        return None
    name = tags["pypi_name"].lower().replace("_", "-").replace(".", "-")
    return name + "==" + tags["pypi_version"] if "pypi_version" in tags else name

def _package(target, requirements = [], pins = None):
    """Returns a BentoSourcesInfo without first-party files, for a locked package or a target without Python sources."""
    return BentoSourcesInfo(
        files = depset(),
        package_roots = target[PyInfo].imports if PyInfo in target else depset(),
        pins = pins or depset(),
        problems = depset(),
        requirements = depset(requirements),
    )

def edges_in(target, ctx, names):
    """Returns the targets below the target to which an aspect applies.

    These are the targets in the attributes `names`, and libraries and packages in other attributes, also in private
    ones, whose sources are in `PyInfo.transitive_sources` of the target. Tools aren't: their sources aren't.
    """
    edges = _targets(ctx, names)
    if PyInfo not in target or ctx.rule.kind in _BY_ATTRIBUTES:
        return edges
    sources = None
    for edge in _targets(ctx, [name for name in dir(ctx.rule.attr) if name not in names]):
        if PyInfo in edge:
            # Few targets have such rules, and the targets have few files.
            sources = sources or {file: True for file in target[PyInfo].transitive_sources.to_list()}
            files = edge[PyInfo].transitive_sources.to_list()
            if files and not [file for file in files if file not in sources]:
                edges.append(edge)
        elif BentoRequirementInfo in edge:
            edges.append(edge)
    return edges

def _targets(ctx, names):
    """Returns the targets in the attributes `names` of the target to which an aspect applies."""
    values = [getattr(ctx.rule.attr, name, None) for name in names]
    return [
        edge
        for value in values
        for edge in (value if type(value) in ("dict", "list") else [value])
        if type(edge) == "Target"
    ]

def _without_packages(imports, package_roots):
    """Returns the items of a depset of `PyInfo.imports` that aren't in `package_roots`, normalized."""

    # The number of directories is small, and doesn't depend on the number of files.
    packages = {root: True for root in package_roots.to_list()}
    return [paths.normalize(root) for root in imports.to_list() if root not in packages]

def first_party_imports(targets):
    """Returns the import roots of libraries as a list, in the order of rules_python. Excludes the roots of packages.

    Fails if a library can't be in a Bento.
    """

    # The list is almost always empty.
    for problem in depset(transitive = [target[BentoSourcesInfo].problems for target in targets]).to_list():
        fail(problem)
    return _without_packages(
        depset(transitive = [target[PyInfo].imports for target in targets if PyInfo in target]),
        depset(transitive = [target[BentoSourcesInfo].package_roots for target in targets]),
    )

# Repositories that generated code imports (such as the code of py_proto_library), to the package of the lock that
# replaces the repository. The Bento excludes the files of these repositories. Otherwise it would contain two versions
# of the package.
_RUNTIMES = {
    "com_github_grpc_grpc": "grpcio",
    "com_google_protobuf": "protobuf",
    "grpc": "grpcio",
    "protobuf": "protobuf",
}

def _repository(path):
    """Returns the name of the Bazel module to which a path, relative to the runfiles directory, belongs."""
    return path.partition("/")[0].partition("+")[0].partition("~")[0]

def runtime_of(label):
    """Returns the name of the locked package that replaces Python code in the repository of a label.

    An example is `grpcio`. Returns None for other code.
    """
    return _RUNTIMES.get(_repository(label.workspace_root.removeprefix("external/")))

def _runfiles_of(target):
    """Returns a depset of the runfiles of a target."""
    runfiles = target[DefaultInfo].default_runfiles
    return runfiles.files if runfiles else depset()

def _links(ctx, targets):
    """Returns a list with a problem if runfiles of targets include symlinks, which change the paths of files."""
    return [
        ("{}: {} has symlinks in its runfiles, but Bentos don't support these symlinks. " +
         "Change the rule to set files instead of symlinks and root_symlinks of ctx.runfiles.").format(
            label_string(ctx.label),
            label_string(target.label),
        )
        for target in targets
        for runfiles in [target[DefaultInfo].default_runfiles]
        if runfiles and (runfiles.symlinks or runfiles.root_symlinks)
    ]

def _unknown_packages(ctx, places):
    """Returns a list with a problem for each path of a package whose rule doesn't name it."""
    return [
        ("{}: {} belongs to an installed package, but the rule {} doesn't specify which package in the tag " +
         "pypi_name, as rules_python {} to {} do. Use such a version, or lock the package with bento.pypi, and add " +
         "the package to the deps of each library that imports the package.").format(
            label_string(ctx.label),
            place,
            ctx.rule.kind,
            OLDEST_RULES_PYTHON,
            NEWEST_RULES_PYTHON,
        )
        for place in places
    ]

def _own_files(ctx, target, package_roots):
    """Returns a struct of a target's first-party `files`, `runtimes` (packages that replace files), and `problems`."""

    # Few targets have such rules, and the targets have few files.
    files = depset(transitive = [target[PyInfo].transitive_sources, _runfiles_of(target)]).to_list()
    packages = tuple([root + "/" for root in package_roots.to_list()])
    own, runtimes, unknown = [], {}, []
    for file in files:
        path = runfile_path(ctx, file)
        if (path + "/").startswith(packages):  # a file, or a directory that is an import root
            continue
        if _repository(path) in _RUNTIMES:
            runtimes[_RUNTIMES[_repository(path)]] = True
        elif "/site-packages/" in path and not path.startswith("_main/"):
            unknown.append(path)
        else:
            own.append(file)
    return struct(
        files = depset(own),
        problems = _unknown_packages(ctx, unknown[:1]) + _links(ctx, [target]),
        runtimes = list(runtimes),
    )

def _declared_files(ctx):
    """Returns the result of `_own_files` for a rule whose attributes list its own files."""
    direct = [edge for edge in _targets(ctx, ["data", "srcs"]) if PyInfo not in edge]
    return struct(
        files = depset(
            transitive = [edge[DefaultInfo].files for edge in direct] + [_runfiles_of(edge) for edge in direct],
        ),
        problems = _links(ctx, direct),
        runtimes = [],
    )

def _sources_aspect_impl(target, ctx):
    if BentoRequirementInfo in target:
        return [_package(target, requirements = [target[BentoRequirementInfo]])]
    if PyInfo not in target:
        return [_package(target)]
    runtime = runtime_of(ctx.label)
    if runtime:
        return [_package(target, pins = depset([runtime]))]
    below = [
        edge[BentoSourcesInfo]
        for edge in edges_in(target, ctx, SOURCE_EDGES)
        if BentoSourcesInfo in edge and PyInfo in edge
    ]
    pins = [info.pins for info in below]
    pin = pin_of(ctx)
    if pin:
        return [_package(target, pins = depset([pin], transitive = pins))]
    package_roots = depset(transitive = [info.package_roots for info in below])
    roots = [
        root
        for root in _without_packages(target[PyInfo].imports, package_roots)
        if root.endswith("/site-packages") and not root.startswith("_main/")
    ]
    own = _declared_files(ctx) if ctx.rule.kind in _BY_ATTRIBUTES else _own_files(ctx, target, package_roots)
    return [BentoSourcesInfo(
        files = depset(transitive = [own.files] + [info.files for info in below]),
        package_roots = package_roots,
        pins = depset(own.runtimes, transitive = pins),
        problems = depset(
            own.problems + _unknown_packages(ctx, roots[:1]),
            transitive = [info.problems for info in below],
        ),
        requirements = depset(transitive = [info.requirements for info in below]),
    )]

# Collects the first-party sources and data of targets that provide PyInfo, such as py_library targets.
sources_aspect = aspect(
    implementation = _sources_aspect_impl,
    attr_aspects = ["*"],
    provides = [BentoSourcesInfo],
)
