"""Checks that builds reject invalid inputs with one line that contains the target and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Workbench

RULES = """\
def _link_impl(ctx):
    link = ctx.actions.declare_symlink(ctx.attr.path)
    ctx.actions.symlink(output = link, target_path = ctx.attr.target)
    return [DefaultInfo(files = depset([link]))]

link = rule(implementation = _link_impl, attrs = {"path": attr.string(), "target": attr.string()})

def _tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(outputs = [tree], command = "ln -s $1 $2/data.csv", arguments = [ctx.attr.target, tree.path])
    return [DefaultInfo(files = depset([tree]))]

tree = rule(implementation = _tree_impl, attrs = {"target": attr.string()})
"""
BUILD = """\
load("//rules:defs.bzl", "bento_package")
load(":links.bzl", "link", "tree")

link(name = "absolute", path = "absolute.csv", target = "/etc/passwd")
link(name = "upward", path = "upward.csv", target = "../../../../../../etc/passwd")
link(name = "sideways", path = "sideways.csv", target = "beside.csv")
genrule(name = "beside", outs = ["beside.csv"], cmd = "echo 1 > $@")
tree(name = "planted", target = "/etc/passwd")

[
    bento_package(
        name = name,
        srcs = ["service.py"] + srcs,
        exclude = ["*.py"] if name == "dropped" else [],
        service = "service:Service",
    )
    for name, srcs in {
        "dropped": [],
        "from_absolute": [":absolute"],
        "from_source": ["source.csv"],
        "from_tree": [":planted"],
        "from_upward": [":upward"],
        "right": ["inside.csv", ":beside", ":sideways"],
    }.items()
]
"""
ESCAPES = {
    "from_absolute": "absolute.csv (from srcs //broken:absolute) is a link to '/etc/passwd'",
    "from_source": "source.csv (from srcs //broken:source.csv) is a link to '../../elsewhere.csv'",
    "from_tree": "planted/data.csv (from srcs //broken:planted) is a link to '/etc/passwd'",
    "from_upward": "upward.csv (from srcs //broken:upward) is a link to '../../../../../../etc/passwd'",
}
REMEDY = "which is absolute or outside the workspace. Replace the link with a copy, or exclude the link.\n"
DROPPED = (
    "service 'service:Service' requires service.py (from srcs //broken:service.py), but pattern 1 of exclude ('*.py')"
)


def builds_report_errors(bench: Workbench) -> str:
    """Build links as sources, as outputs of `declare_symlink`, and in tree artifacts; and build an excluded service."""
    checkout = bench.plain
    checkout.write("broken/BUILD.bazel", BUILD)
    checkout.write("broken/links.bzl", RULES)
    checkout.write("broken/service.py", "import bentoml\n\n@bentoml.service\nclass Service:\n    pass\n")
    checkout.write("broken/target.csv", "1,2\n")
    (checkout.root.parent / "elsewhere.csv").write_text("secret\n")
    (checkout.root / "broken/source.csv").symlink_to("../../elsewhere.csv")
    (checkout.root / "broken/inside.csv").symlink_to("target.csv")
    built = checkout.bazel("build", "--keep_going", "//broken/...")
    assert built.code == 1, built.told()
    for name, complaint in ESCAPES.items():
        assert f"\n//broken:{name}: {complaint}, {REMEDY}" in built.errors, f"{name}: {built.told()}"
    assert f"\n//broken:dropped: {DROPPED}" in built.errors, built.told()
    assert "Traceback" not in built.errors, built.told()
    checkout.build("//broken:right")
    return f"{len(ESCAPES)} links that escape and an excluded service are named; links that stay inside pass"
