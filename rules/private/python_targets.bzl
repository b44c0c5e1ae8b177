"""Finds first-party files, including generated sources, in any rule that provides PyInfo."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoRequirementInfo")
load(":attributes.bzl", "label_string")
load(":launcher.bzl", "runfile_path")
load(":providers.bzl", "BentoSourcesInfo")

# Repositories that generated code imports (as py_proto_library does), to the package of the lock that replaces them.
# The Bento excludes their files, which would be a second version of the package.
_RUNTIMES = {
    "com_github_grpc_grpc": "grpcio",
    "com_google_protobuf": "protobuf",
    "grpc": "grpcio",
    "protobuf": "protobuf",
}

def _repository(path):
    """Returns the module name of the repository of a path relative to the runfiles."""
    return path.partition("/")[0].partition("+")[0].partition("~")[0]

def runtime_of(label):
    """Returns the package of a lock that replaces a repository's own Python code; None for first-party code."""
    return _RUNTIMES.get(_repository(label.workspace_root.removeprefix("external/")))

def runfiles_of(ctx, target):
    """Returns the depset of a target's runfiles at their own paths.

    Args:
      ctx: context of a rule.
      target: a Target.

    Returns:
      The depset of a target's runfiles at their own paths.
    """
    runfiles = target[DefaultInfo].default_runfiles
    if not runfiles:
        return depset()
    if runfiles.symlinks or runfiles.root_symlinks:
        fail(("{}: {} has runfiles symlinks (symlinks of ctx.runfiles), which a Bento doesn't support. " +
              "Change its rule to declare the files at their paths").format(label_string(ctx.label), label_string(target.label)))
    return runfiles.files

def own_roots(target, package_roots):
    """Returns the directories, `<repository>/<directory>`, that a target's first-party code is imported from."""

    # Directories are few, independent of their files.
    packages = {root: True for root in package_roots.to_list()}
    return [root for root in target[PyInfo].imports.to_list() if root not in packages]

def own_files(ctx, target, package_roots):
    """Returns the first-party files of a target of an unknown rule, without files of packages.

    Args:
      ctx: the aspect's context.
      target: a Target with PyInfo.
      package_roots: depset of the directories of packages.

    Returns:
      A struct: files, a list of Files; runtimes, names of packages that generated code imports.
    """

    # To reject single files of packages; unknown rules are few and have few files.
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
            fail(("{}: {} is a file of an installed package that {} doesn't name. Lock the package with bento.pypi, and " +
                  "add the package to the deps of libraries").format(label_string(ctx.label), path, ctx.rule.kind))
        own.append(file)
    return struct(files = own, runtimes = list(runtimes))

def check_edges(ctx, target, followed):
    """Rejects a rule that accepts Python libraries in an attribute whose packages would be lost (not in `followed`).

    Args:
      ctx: context of a rule.
      target: a Target.
      followed: list of names of attributes whose targets are followed.
    """
    sources = None
    for name in dir(ctx.rule.attr):
        if name.startswith("_") or name in followed:
            continue
        for edge in _targets(getattr(ctx.rule.attr, name)):
            if BentoSourcesInfo in edge or not (PyInfo in edge or BentoRequirementInfo in edge):
                continue

            # Only for dependencies in attributes that the aspect doesn't follow, which are few.
            sources = sources or {file: True for file in target[PyInfo].transitive_sources.to_list()}
            if BentoRequirementInfo in edge or _all_in(edge[PyInfo].transitive_sources.to_list(), sources):
                fail(("{}: {} has {} in {}, an attribute that isn't searched for packages. Add it to the deps of {} " +
                      "or of a py_library that depends on it, or, for a tool, to the deps of a py_binary").format(
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
