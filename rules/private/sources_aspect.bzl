"""Collects what a closure of Python libraries holds of the user's own."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")
load("//rules/providers:sources.bzl", "BentoSourcesInfo")

_EDGES = ["deps", "data"]

def _is_third_party(ctx):
    """Whether a target is a package of a hub of rules_python, which says so by its tags."""
    return bool([tag for tag in getattr(ctx.rule.attr, "tags", []) if tag.startswith("pypi_name=")])

def _only(requirements):
    return BentoSourcesInfo(files = depset(), import_roots = depset(), requirements = depset(requirements))

def _edges(ctx):
    edges = []
    for name in _EDGES:
        value = getattr(ctx.rule.attr, name, None)
        edges += [edge for edge in (value if type(value) == "list" else [value]) if type(edge) == "Target"]
    return edges

def _import_roots(ctx):
    """The `imports` of a library, as `<repository>/<folder>`."""
    base = (ctx.label.workspace_root.removeprefix("external/") or "_main") + "/" + ctx.label.package
    return [base.rstrip("/") + "/" + root for root in getattr(ctx.rule.attr, "imports", [])]

def _sources_aspect_impl(target, ctx):
    if BentoRequirementInfo in target:
        return [_only([target[BentoRequirementInfo]])]
    if PyInfo not in target or _is_third_party(ctx):
        return [_only([])]
    edges = _edges(ctx)
    below = [edge[BentoSourcesInfo] for edge in edges if BentoSourcesInfo in edge]
    direct = [
        edge[DefaultInfo].files
        for name in ("srcs", "data")
        for edge in getattr(ctx.rule.attr, name, []) or []
        if PyInfo not in edge
    ]
    return [BentoSourcesInfo(
        files = depset(transitive = direct + [info.files for info in below]),
        import_roots = depset(_import_roots(ctx), transitive = [info.import_roots for info in below]),
        requirements = depset(transitive = [info.requirements for info in below]),
    )]

sources_aspect = aspect(
    implementation = _sources_aspect_impl,
    doc = "First-party sources and data of py_library and its like.",
    attr_aspects = _EDGES,
    provides = [BentoSourcesInfo],
)
