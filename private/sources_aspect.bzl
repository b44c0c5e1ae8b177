"""Defines sources_aspect, which collects the first-party sources of Python libraries and their transitive
dependencies."""

load("@bazel_skylib//lib:paths.bzl", "paths")
load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoRequirementInfo")
load(":attributes.bzl", "label_string")
load(":launcher.bzl", "runfile_path")
load(":providers.bzl", "BentoSourcesInfo")
load(":versions.bzl", "NEWEST_RULES_PYTHON", "OLDEST_RULES_PYTHON")

# Attributes that can contain Python libraries.
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
        libraries = depset(),
        package_roots = target[PyInfo].imports if PyInfo in target else depset(),
        pins = pins or depset(),
        requirements = depset(requirements),
    )

def edges_in(ctx, names):
    """Returns the targets in the attributes `names` of the target to which an aspect applies."""
    values = [getattr(ctx.rule.attr, name, None) for name in names]
    return [
        edge
        for value in values
        for edge in (value if type(value) == "list" else [value])
        if type(edge) == "Target"
    ]

def _without_packages(imports, package_roots):
    """Returns the items of a depset of `PyInfo.imports` that aren't in `package_roots`, normalized."""

    # The number of directories is small, and doesn't depend on the number of files.
    packages = {root: True for root in package_roots.to_list()}
    return [paths.normalize(root) for root in imports.to_list() if root not in packages]

def first_party_imports(targets):
    """Returns the import roots of libraries as a list, in the order of rules_python. Excludes the roots of packages."""
    return _without_packages(
        depset(transitive = [target[PyInfo].imports for target in targets if PyInfo in target]),
        depset(transitive = [target[BentoSourcesInfo].package_roots for target in targets]),
    )

def _import_roots(ctx, target, package_roots):
    """Returns the import roots that a library declares, each as `<repository>/<directory>`.

    Unknown rules also have the roots of dependencies.
    """
    declared = getattr(ctx.rule.attr, "imports", [])
    if ctx.rule.kind in _BY_ATTRIBUTES and not [root for root in declared if "$" in root]:  # no Make variables
        base = (ctx.label.workspace_root.removeprefix("external/") or "_main") + "/" + ctx.label.package
        return [paths.normalize(base + "/" + root) for root in declared if not root.startswith("/")]

    return _without_packages(target[PyInfo].imports, package_roots)

def _library(ctx, own, import_roots, below):
    """Returns the struct in `libraries` of BentoSourcesInfo for a rule that isn't a py_library.

    Its `own` files and import roots include the ones of dependencies (`below`).
    """

    # Few targets have such rules, and the targets have few files.
    others = {file: True for info in below for file in info.files.to_list()}
    files = [file for file in own if file not in others]
    places = [runfile_path(ctx, file) for file in files]
    roots = [root for root in import_roots if [path for path in places if (path + "/").startswith(root + "/")]]
    return struct(files = depset(files), import_roots = tuple(roots), label = ctx.label)

def describe_library(library, expander):
    """Returns the arguments that describe the files of a library in BentoSourcesInfo.

    `expander` lists files in directories.
    """
    label = label_string(library.label)

    # Bazel calls the function when it writes the arguments of an action, not in the analysis.
    files = [
        each
        for file in library.files.to_list()
        for each in (expander.expand(file) if file.is_directory else [file])
    ]
    return [word for file in files for word in ("--dependency", file.path, file.short_path, label)]

def describe_import_roots(library):
    """Returns the arguments that describe the import roots of a library in BentoSourcesInfo.

    They limit copies to files for which a root is meant.
    """
    label = label_string(library.label)
    return [word for root in library.import_roots for word in ("--import-root", label, root)]

def describe_import(root):
    """Returns the arguments that describe an item of `PyInfo.imports`.

    If no library above has the root, the root is for the files of all libraries.
    """
    return ["--import-root", "", root]

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

def _runfiles_of(ctx, target):
    """Returns a depset of the runfiles of a target. Fails if they include symlinks, which change the paths of files."""
    runfiles = target[DefaultInfo].default_runfiles
    if not runfiles:
        return depset()
    if runfiles.symlinks or runfiles.root_symlinks:
        fail(("{}: {} has symlinks in its runfiles, but Bentos don't support these symlinks. " +
              "Change the rule to set files instead of symlinks and root_symlinks of ctx.runfiles.").format(
            label_string(ctx.label),
            label_string(target.label),
        ))
    return runfiles.files

def _fail_for_unknown_package(ctx, path):
    fail(("{}: {} belongs to an installed package, but the rule {} doesn't specify which package in the tag " +
          "pypi_name, as rules_python {} to {} do. " +
          "Use such a version, or lock the package with bento.pypi, and add the package to the deps of each " +
          "library that imports the package.").format(
        label_string(ctx.label),
        path,
        ctx.rule.kind,
        OLDEST_RULES_PYTHON,
        NEWEST_RULES_PYTHON,
    ))

def _own_files(ctx, target, package_roots):
    """Returns a struct of a target's first-party `files`, and of `runtimes`, packages that replace other files.

    Fails for installed packages.
    """

    # Check each file, to reject files of installed packages. Few targets have such rules, and the targets have few
    # files.
    generated = [file for file in target[DefaultInfo].files.to_list() if file.extension == "py"]
    files = depset(generated, transitive = [target[PyInfo].transitive_sources, _runfiles_of(ctx, target)]).to_list()
    packages = tuple([root + "/" for root in package_roots.to_list()])
    own, runtimes = [], {}
    for file in files:
        path = runfile_path(ctx, file)
        if (path + "/").startswith(packages):  # a file, or a directory that is an import root
            continue
        if _repository(path) in _RUNTIMES:
            runtimes[_RUNTIMES[_repository(path)]] = True
            continue
        if "/site-packages/" in path and not path.startswith("_main/"):
            _fail_for_unknown_package(ctx, path)
        own.append(file)
    return struct(files = own, runtimes = list(runtimes))

def _check_edges(ctx, target, followed):
    """Fails if an attribute that isn't in `followed` adds packages or Python libraries to the target.

    The Bento would lack these packages.
    """
    sources = None
    for name in dir(ctx.rule.attr):
        if name.startswith("_") or name in followed:
            continue
        for edge in _targets(getattr(ctx.rule.attr, name)):
            if BentoSourcesInfo in edge or not (PyInfo in edge or BentoRequirementInfo in edge):
                continue

            # Only targets with dependencies in such attributes need the list, and these targets are few.
            sources = sources or {file: True for file in target[PyInfo].transitive_sources.to_list()}
            if BentoRequirementInfo in edge or _all_in(edge[PyInfo].transitive_sources.to_list(), sources):
                fail(("{}: the rule {} has {} in the attribute {}, but rules_bento doesn't search this attribute " +
                      "for packages. Add this dependency to the deps of {}. If only a tool uses the dependency, " +
                      "move it to the deps of the tool's py_binary.").format(
                    label_string(ctx.label),
                    ctx.rule.kind,
                    label_string(edge.label),
                    name,
                    label_string(ctx.label),
                ))

def _targets(value):
    values = value if type(value) in ("dict", "list") else [value]
    return [edge for edge in values if type(edge) == "Target"]

def _all_in(files, sources):
    return bool(files) and not [file for file in files if file not in sources]

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
        for edge in edges_in(ctx, SOURCE_EDGES)
        if BentoSourcesInfo in edge and PyInfo in edge
    ]
    pins = [info.pins for info in below]
    pin = pin_of(ctx)
    if pin:
        return [_package(target, pins = depset([pin], transitive = pins))]
    package_roots = depset(transitive = [info.package_roots for info in below])
    import_roots = _import_roots(ctx, target, package_roots)
    for root in import_roots:
        if root.endswith("/site-packages") and not root.startswith("_main/"):
            _fail_for_unknown_package(ctx, root)
    if ctx.rule.kind in _BY_ATTRIBUTES:
        direct = [edge for edge in edges_in(ctx, ["data", "srcs"]) if PyInfo not in edge]
        files = depset(
            transitive = [edge[DefaultInfo].files for edge in direct] + [_runfiles_of(ctx, edge) for edge in direct],
        )
        library = struct(files = files, import_roots = tuple(import_roots), label = ctx.label)
        runtimes = []
    else:
        _check_edges(ctx, target, SOURCE_EDGES)
        own = _own_files(ctx, target, package_roots)
        files, runtimes = depset(own.files), own.runtimes
        library = _library(ctx, own.files, import_roots, below)
    return [BentoSourcesInfo(
        files = depset(transitive = [files] + [info.files for info in below]),
        libraries = depset([library], transitive = [info.libraries for info in below]),
        package_roots = package_roots,
        pins = depset(runtimes, transitive = pins),
        requirements = depset(transitive = [info.requirements for info in below]),
    )]

sources_aspect = aspect(
    implementation = _sources_aspect_impl,
    doc = "Collects the first-party sources and data of targets that provide PyInfo, such as py_library targets.",
    attr_aspects = SOURCE_EDGES,
    provides = [BentoSourcesInfo],
)
