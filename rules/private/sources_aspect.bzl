"""Collects the first-party sources of Python libraries and their transitive dependencies."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules:providers.bzl", "BentoRequirementInfo")
load(":providers.bzl", "BentoSourcesInfo")
load(":python_targets.bzl", "check_edges", "own_files", "own_roots", "runfiles_of", "runtime_of")

_EDGES = ["data", "deps", "py_deps", "runtime_deps", "srcs"]

# Rules whose attributes list their sources; for other rules, PyInfo and runfiles do.
_BY_ATTRIBUTES = ["py_binary", "py_library", "py_test"]

def _pin(ctx):
    """Returns `name==version` (or `name`) of a package of rules_python from its tags; None for others."""
    tags = {}
    for tag in getattr(ctx.rule.attr, "tags", []):
        name, _, value = tag.partition("=")
        tags[name] = value
    if "pypi_name" not in tags:
        return None
    name = tags["pypi_name"].lower().replace("_", "-").replace(".", "-")
    return name + "==" + tags["pypi_version"] if "pypi_version" in tags else name

def _package(target, requirements = [], pins = None):
    """Returns the provider for a package, which has no first-party files."""
    return BentoSourcesInfo(
        files = depset(),
        import_roots = depset(),
        package_roots = target[PyInfo].imports if PyInfo in target else depset(),
        pins = pins or depset(),
        requirements = depset(requirements),
    )

def _edges(ctx, names):
    edges = []
    for name in names:
        value = getattr(ctx.rule.attr, name, None)
        edges += [edge for edge in (value if type(value) == "list" else [value]) if type(edge) == "Target"]
    return edges

def _import_roots(ctx):
    """Returns the `imports` of a library, as `<repository>/<directory>`."""
    base = (ctx.label.workspace_root.removeprefix("external/") or "_main") + "/" + ctx.label.package
    return [base.rstrip("/") + "/" + root for root in getattr(ctx.rule.attr, "imports", [])]

def _sources_aspect_impl(target, ctx):
    if BentoRequirementInfo in target:
        return [_package(target, requirements = [target[BentoRequirementInfo]])]
    if PyInfo not in target:
        return [_package(target)]
    runtime = runtime_of(ctx.label)
    if runtime:
        return [_package(target, pins = depset([runtime]))]
    below = [edge[BentoSourcesInfo] for edge in _edges(ctx, _EDGES) if BentoSourcesInfo in edge and PyInfo in edge]
    pins = [info.pins for info in below]
    pin = _pin(ctx)
    if pin:
        return [_package(target, pins = depset([pin], transitive = pins))]
    package_roots = depset(transitive = [info.package_roots for info in below])
    if ctx.rule.kind in _BY_ATTRIBUTES:
        direct = [edge for edge in _edges(ctx, ["data", "srcs"]) if PyInfo not in edge]
        files = depset(transitive = [edge[DefaultInfo].files for edge in direct] + [runfiles_of(ctx, edge) for edge in direct])
        import_roots = _import_roots(ctx)
        runtimes = []
    else:
        check_edges(ctx, target, _EDGES)
        own = own_files(ctx, target, package_roots)
        files, runtimes = depset(own.files), own.runtimes
        import_roots = own_roots(target, package_roots)
    return [BentoSourcesInfo(
        files = depset(transitive = [files] + [info.files for info in below]),
        import_roots = depset(import_roots, transitive = [info.import_roots for info in below]),
        package_roots = package_roots,
        pins = depset(runtimes, transitive = pins),
        requirements = depset(transitive = [info.requirements for info in below]),
    )]

sources_aspect = aspect(
    implementation = _sources_aspect_impl,
    doc = "Collects first-party sources and data of py_library and similar rules, and of any other rule that provides PyInfo.",
    attr_aspects = _EDGES,
    provides = [BentoSourcesInfo],
)
