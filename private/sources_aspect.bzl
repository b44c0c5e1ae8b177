"""Defines sources_aspect, which collects the first-party sources of Python libraries and their transitive
dependencies."""

load("@bazel_skylib//lib:paths.bzl", "paths")
load("@rules_python//python:py_runtime_info.bzl", "PyRuntimeInfo")
load("//rules:providers.bzl", "BentoRequirementInfo")
load(":attributes.bzl", "describe_dependency", "label_string")
load(":helper.bzl", "read_files")
load(":launcher.bzl", "runfile_path")
load(":program.bzl", "declare_launcher", "main_of")
load(":providers.bzl", "BentoSourcesInfo")
load(":py_info.bzl", "py_info_of")
load(":versions.bzl", "NEWEST_RULES_PYTHON", "OLDEST_RULES_PYTHON")

# Attributes that can contain Python libraries in any rule. In other attributes, the sources of a library show whether
# its files are in the target (see `edges_in`).
SOURCE_EDGES = ["data", "deps", "py_deps", "runtime_deps", "srcs"]

def _lists_sources(target, ctx):
    """Returns whether the attributes of a target list its sources: the rules of rules_python, and rules made of them.

    The sources of other rules are determined from PyInfo and runfiles.
    """
    return ctx.rule.kind in ["py_binary", "py_library", "py_test"] or PyRuntimeInfo in target

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

def _package(target, requirements = [], pins = depset(), programs = depset()):
    """Returns a BentoSourcesInfo without first-party files, for a locked package or a target without Python sources."""
    info = py_info_of(target)
    return BentoSourcesInfo(
        files = depset(),
        links = depset(),
        package_roots = info.imports if info else depset(),
        pins = pins,
        problems = depset(),
        programs = programs,
        requirements = depset(requirements),
    )

def edges_in(target, ctx, names):
    """Returns the targets below the target to which an aspect applies.

    These are the targets in the attributes `names`, and libraries and packages in other attributes, also in private
    ones, whose sources are in `PyInfo.transitive_sources` of the target. Tools aren't: their sources aren't.
    """
    edges = _targets(ctx, names)
    info = py_info_of(target)
    if not info or _lists_sources(target, ctx):
        return edges
    sources = None
    for edge in _targets(ctx, [name for name in dir(ctx.rule.attr) if name not in names]):
        edge_info = py_info_of(edge)
        if edge_info:
            # Few targets have such rules, and the targets have few files.
            sources = sources or {file: True for file in info.transitive_sources.to_list()}
            files = edge_info.transitive_sources.to_list()
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
        depset(transitive = [py_info_of(target).imports for target in targets if py_info_of(target)]),
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

def _describe_link(link):
    return ["--dependency", link.file.path, link.short_path, label_string(link.file.owner)]

def _describe_image_link(link):
    return ["--dependency", link.image_file.path, link.short_path, label_string(link.image_file.owner)]

def library_flags(targets, *, main = None, in_image = False):
    """Returns the flags for the files of libraries. A file in `links` is at another path than in Bazel's directories.

    `main` is a File that isn't necessarily in the libraries, or None. `in_image` is false for a Bento.
    """
    files = [target[BentoSourcesInfo].files for target in targets]
    links = depset(transitive = [target[BentoSourcesInfo].links for target in targets])

    # Few libraries have programs in data, or symlinks in runfiles. All functions return the flag --dependency.
    linked = depset([link.image_file if in_image else link.file for link in links.to_list()])
    describe = _describe_image_link if in_image else _describe_link
    return {
        "--dependency": read_files(depset([main] if main else [], transitive = files), describe_dependency),
        "--link": read_files(links, describe, inputs = linked),
    }

def _links_of(runfiles):
    """Returns the files at other paths in a list of runfiles: a depset of items of `links`."""
    return depset([
        struct(file = entry.target_file, image_file = entry.target_file, short_path = path)
        for each in runfiles
        # Almost always empty. Their paths are relative to the main repository, or to the runfiles directory.
        for entry, path in [
            (entry, entry.path)
            for entry in each.symlinks.to_list()
        ] + [
            (entry, ("../" + entry.path).removeprefix("../_main/"))
            for entry in each.root_symlinks.to_list()
        ]
    ])

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

def _unknown_programs(ctx, programs):
    """Returns a list with a problem for each Python program whose main file is unknown."""
    return [
        ("{}: {} in data is a Python program, but its rule has no attribute main, and no source with its name. " +
         "Declare the program with py_binary, or add its modules to deps, and start them with " +
         "[sys.executable, \"-m\", \"MODULE\"].").format(
            label_string(ctx.label),
            label_string(program.executable.owner),
        )
        for program in programs
        if not program.launcher
    ]

def _own_files(ctx, package_roots, files):
    """Returns a struct of first-party `files` of a list, `runtimes` (packages that replace files), and `problems`."""

    # The number of directories is small.
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
    return struct(files = depset(own), problems = _unknown_packages(ctx, unknown[:1]), runtimes = list(runtimes))

def _declared(target, ctx, edges):
    """Returns a struct of the `files` (depset) and `runfiles` (list) that a target adds to its libraries.

    `edges` are the targets below it without PyInfo. For a rule whose attributes don't list its files, of all libraries.
    """
    if not _lists_sources(target, ctx):
        runfiles = [target[DefaultInfo].default_runfiles]
        files = [py_info_of(target).transitive_sources]
    else:
        # As rules_python: the runfiles of targets in deps, not their outputs.
        runfiles = [edge[DefaultInfo].data_runfiles for edge in edges]
        in_deps = {edge.label: True for edge in _targets(ctx, ["deps"])}
        files = [edge[DefaultInfo].files for edge in edges if edge.label not in in_deps]
    runfiles = [each for each in runfiles if each]
    return struct(files = depset(transitive = files + [each.files for each in runfiles]), runfiles = runfiles)

def _program(target, ctx, sources):
    """Returns a list with an item of `programs` of BentoSourcesInfo if the target is a Python program."""
    executable = target[DefaultInfo].files_to_run.executable
    if not executable or executable.owner != ctx.label:
        return []
    main = main_of(target, ctx)
    roots = _without_packages(py_info_of(target).imports, sources.package_roots)

    # Few targets are programs.
    repositories = [runfile_path(ctx, file).partition("/")[0] for file in sources.files.to_list()]
    roots = {root: True for root in roots + [ctx.workspace_name] + sorted(repositories)}.keys()
    return [_program_at(ctx, executable, struct(
        main = main,
        roots = tuple(roots),
        runfiles = target[DefaultInfo].default_runfiles.files,
        sources = sources,
    ))]

def _program_at(ctx, executable, program):
    """Returns an item of `programs` of BentoSourcesInfo: another one, or its fields, with another `executable`."""
    return struct(
        executable = executable,
        launcher = declare_launcher(ctx, executable, program.main, program.roots) if program.main else None,
        main = program.main,
        roots = program.roots,
        runfiles = depset([executable], transitive = [program.runfiles]),
        sources = program.sources,
    )

def _linked_programs(target, ctx, programs):
    """Returns the programs in a depset again, with links to them that a target declares (as native_binary does)."""

    # Programs are few, and a symlink has one input and one output.
    by_executable = {program.executable: program for program in programs.to_list()}
    return [
        _program_at(ctx, output, by_executable[file])
        for action in (getattr(target, "actions", []) if by_executable else [])
        if action.mnemonic in ["ExecutableSymlink", "Symlink"]
        for file in action.inputs.to_list()
        if file in by_executable
        for output in action.outputs.to_list()
    ]

def _without_programs(files, programs, edges):
    """Returns a list of the Files in a depset that aren't in the runfiles of programs, and the programs in it."""

    # Few targets have programs below them, whose files aren't more than the files of a py_test.
    candidates = programs.to_list()
    executables = [edge[DefaultInfo].files_to_run.executable for edge in edges]
    kept = {file: True for file in files.to_list()} if candidates else {}
    found = [program for program in candidates if program.executable in kept or program.executable in executables]
    for program in found:
        for file in program.runfiles.to_list():
            kept.pop(file, None)
    return kept.keys(), found

def _sources_aspect_impl(target, ctx):
    if BentoRequirementInfo in target:
        return [_package(target, requirements = [target[BentoRequirementInfo]])]
    info = py_info_of(target)
    lists_sources = info and _lists_sources(target, ctx)

    # Runfiles of other targets, such as of a sh_binary, can contain programs in any attribute.
    holders = _targets(ctx, SOURCE_EDGES if lists_sources else dir(ctx.rule.attr))
    programs = depset(transitive = [edge[BentoSourcesInfo].programs for edge in holders if BentoSourcesInfo in edge])
    if not info:
        return [_package(target, programs = depset(_linked_programs(target, ctx, programs), transitive = [programs]))]
    runtime = runtime_of(ctx.label)
    if runtime:
        return [_package(target, pins = depset([runtime]))]
    edges = edges_in(target, ctx, SOURCE_EDGES)
    libraries = [edge for edge in edges if BentoSourcesInfo in edge and py_info_of(edge)]
    below = [edge[BentoSourcesInfo] for edge in libraries]
    pins = [each.pins for each in below]
    pin = pin_of(ctx)
    if pin:
        return [_package(target, pins = depset([pin], transitive = pins))]
    declared = _declared(target, ctx, [edge for edge in edges if not py_info_of(edge)])
    kept, found = _without_programs(declared.files, programs, libraries)
    below += [program.sources for program in found]
    pins += [program.sources.pins for program in found]
    package_roots = depset(transitive = [each.package_roots for each in below])
    roots = [
        root
        for root in _without_packages(info.imports, package_roots)
        if root.endswith("/site-packages") and not root.startswith("_main/")
    ]
    own = struct(files = depset(kept) if found else declared.files, problems = [], runtimes = [])
    if not lists_sources:
        # Few targets have such rules, and the targets have few files.
        own = _own_files(ctx, package_roots, own.files.to_list())
    values = dict(
        files = depset(transitive = [own.files] + [each.files for each in below]),
        links = depset(
            [program.launcher for program in found if program.launcher],
            transitive = [_links_of(declared.runfiles)] + [each.links for each in below],
        ),
        package_roots = package_roots,
        pins = depset(own.runtimes, transitive = pins),
        problems = depset(
            own.problems + _unknown_packages(ctx, roots[:1]) + _unknown_programs(ctx, found),
            transitive = [each.problems for each in below],
        ),
        requirements = depset(transitive = [each.requirements for each in below]),
    )
    sources = BentoSourcesInfo(programs = depset(), **values)
    own_program = _program(target, ctx, sources)
    return [BentoSourcesInfo(programs = depset(own_program, transitive = [programs]), **values)]

# Collects the first-party sources and data of targets that provide PyInfo, such as py_library targets.
sources_aspect = aspect(
    implementation = _sources_aspect_impl,
    attr_aspects = ["*"],
    provides = [BentoSourcesInfo],
)
