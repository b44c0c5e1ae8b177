"""Finds the user's own files in a rule that provides PyInfo, whatever its attributes are: generated sources, too."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoRequirementInfo")
load(":attributes.bzl", "label_string")
load(":launcher.bzl", "runfile_path")
load(":providers.bzl", "BentoSourcesInfo")

# Repositories whose modules generated code imports (py_proto_library brings them along) to the package that a lock has of them.
# They are left out, for beside that package they would be a second version.
_RUNTIMES = {
    "com_github_grpc_grpc": "grpcio",
    "com_google_protobuf": "protobuf",
    "grpc": "grpcio",
    "protobuf": "protobuf",
}

def _repository(path):
    """Returns the name of the repository of a path below the runfiles, as its module calls it."""
    return path.partition("/")[0].partition("+")[0].partition("~")[0]

def runtime_of(label):
    """Returns the package that a lock has in place of a repository's own Python code.

    Args:
      label: a Label.

    Returns:
      The name of a package; None where the code is the user's.
    """
    return _RUNTIMES.get(_repository(label.workspace_root.removeprefix("external/")))

def runfiles_of(ctx, target):
    """Returns the files that programs have at their own paths if they have a target.

    Args:
      ctx: the aspect's context.
      target: a Target.

    Returns:
      A depset of Files.
    """
    runfiles = target[DefaultInfo].default_runfiles
    if not runfiles:
        return depset()
    if runfiles.symlinks or runfiles.root_symlinks:
        fail(("{}: {} has runfiles that are links to files elsewhere (symlinks of ctx.runfiles), which a Bento cannot place: " +
              "let its rule declare files where they belong").format(label_string(ctx.label), label_string(target.label)))
    return runfiles.files

def own_roots(target, package_roots):
    """Returns the folders that a target's own code is imported from.

    Args:
      target: a Target with PyInfo.
      package_roots: depset of the folders of packages below it.

    Returns:
      A list of `<repository>/<folder>`.
    """

    # Flattened to compare: folders are few, however many files they have.
    packages = {root: True for root in package_roots.to_list()}
    return [root for root in target[PyInfo].imports.to_list() if root not in packages]

def own_files(ctx, target, package_roots):
    """Returns the files of a program over a target, without those of packages.

    Only for rules that are not known: of these no attribute says which of the files are packages.

    Args:
      ctx: the aspect's context.
      target: a Target with PyInfo.
      package_roots: depset of the folders of packages below it.

    Returns:
      A struct: files, a list of Files; runtimes, the names of packages that generated code imports, and that a Bento takes
      from its lock.
    """

    # Flattened to find a single file of a package, which is refused; rules of others are few, and bring little.
    generated = [file for file in target[DefaultInfo].files.to_list() if file.extension == "py"]
    files = depset(generated, transitive = [target[PyInfo].transitive_sources, runfiles_of(ctx, target)]).to_list()
    packages = tuple([root + "/" for root in package_roots.to_list()])
    own, runtimes = [], {}
    for file in files:
        path = runfile_path(ctx, file)
        if path.startswith(packages):
            continue
        if _repository(path) in _RUNTIMES:
            runtimes[_RUNTIMES[_repository(path)]] = True
            continue
        if "/site-packages/" in path and not path.startswith("_main/"):
            fail(("{}: {} is a file of an installed package, and {} does not say of which: lock the package with bento.pypi, and " +
                  "have the hub's in the deps of libraries").format(label_string(ctx.label), path, ctx.rule.kind))
        own.append(file)
    return struct(files = own, runtimes = list(runtimes))

def check_edges(ctx, target, followed):
    """Refuses a rule that takes Python libraries by an attribute whose packages would be lost.

    Args:
      ctx: the aspect's context.
      target: a Target with PyInfo.
      followed: list of names of the attributes that are looked into.
    """
    sources = None
    for name in dir(ctx.rule.attr):
        if name.startswith("_") or name in followed:
            continue
        for edge in _targets(getattr(ctx.rule.attr, name)):
            if BentoSourcesInfo in edge or not (PyInfo in edge or BentoRequirementInfo in edge):
                continue

            # Flattened to compare; only dependencies by attributes that the aspect does not follow come here, which are few.
            sources = sources or {file: True for file in target[PyInfo].transitive_sources.to_list()}
            if BentoRequirementInfo in edge or _all_in(edge[PyInfo].transitive_sources.to_list(), sources):
                fail(("{}: {} has {} in {}, an attribute that is not looked into for packages: put it into the deps of {} " +
                      "or of a py_library above it as well, or, if it is a tool, into those of a py_binary").format(
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
