"""Collects what a closure of Python libraries holds of the user's own."""

load("@rules_python//python:py_info.bzl", "PyInfo")
load("//rules/providers:requirement.bzl", "BentoRequirementInfo")
load("//rules/providers:sources.bzl", "BentoSourcesInfo")

_EDGES = ["deps", "data"]

def _pin(ctx):
    """`name==version` (or `name`) of a package of a hub of rules_python, which says so by its tags; None for others."""
    tags = {}
    for tag in getattr(ctx.rule.attr, "tags", []):
        name, _, value = tag.partition("=")
        tags[name] = value
    if "pypi_name" not in tags:
        return None
    name = tags["pypi_name"].lower().replace("_", "-").replace(".", "-")
    return name + "==" + tags["pypi_version"] if "pypi_version" in tags else name

def _only(requirements = [], pins = None):
    return BentoSourcesInfo(
        files = depset(),
        import_roots = depset(),
        pins = pins or depset(),
        requirements = depset(requirements),
    )

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
    if PyInfo not in target:
        return [_only()]
    below = [edge[BentoSourcesInfo] for edge in _edges(ctx) if BentoSourcesInfo in edge]
    pins = [info.pins for info in below]
    pin = _pin(ctx)
    if pin:
        return [_only(pins = depset([pin], transitive = pins))]
    direct = [
        edge[DefaultInfo].files
        for name in ("srcs", "data")
        for edge in getattr(ctx.rule.attr, name, []) or []
        if PyInfo not in edge
    ]
    return [BentoSourcesInfo(
        files = depset(transitive = direct + [info.files for info in below]),
        import_roots = depset(_import_roots(ctx), transitive = [info.import_roots for info in below]),
        pins = depset(transitive = pins),
        requirements = depset(transitive = [info.requirements for info in below]),
    )]

sources_aspect = aspect(
    implementation = _sources_aspect_impl,
    doc = "First-party sources and data of py_library and its like.",
    attr_aspects = _EDGES,
    provides = [BentoSourcesInfo],
)
