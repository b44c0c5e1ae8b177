"""Checks that builds reject invalid inputs with one line that contains the target and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

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

BENTOFILES = """\
load("//rules:defs.bzl", "bento_environment", "bento_model", "bento_package", "image_step")

bento_model(name = "weights", srcs = ["setup.sh"], tag = "weights")
bento_environment(name = "environment", distro = "alpine", steps = [image_step.run_script("setup.sh")])
bento_environment(name = "old", python_version = "3.7")

[
    bento_package(
        name = file.removesuffix(".yaml"),
        srcs = ["service.py"],
        bentofile = file,
        models = [":weights"],
        requirements = ["@pypi//bentoml", "@pypi//numpy"],
        service = "service:Service" if file == "service.yaml" else "",
    )
    for file in glob(["*.yaml"])
]
"""
# Name of the bentofile to its content and the error of the build, starting at the line.
OPTIONS = {
    "conda": ("docker: {distro: ubi8}\nconda: {pip: [a]}", "2: conda: distro 'ubi8' doesn't support conda"),
    "key": ("labls: {a: b}", "1: labls: unknown option of BentoML 1.4. Did you mean 'labels'?"),
    "model": (
        "models: ['other:v1']",
        "1: models: the Bento requires the model 'other:v1', which isn't one of the available models (weights:",
    ),
    "package": (
        "\npython:\n  packages: [flask]",
        "3: python.packages: the target's requirements attribute doesn't contain these packages: flask",
    ),
    "python": ("docker: {python_version: 3.9}", "1: docker.python_version: the lock is for Python"),
    "script": ("docker: {setup_script: setup.sh}", "1: docker.setup_script: 'setup.sh' isn't a file in"),
    "service": ("service: 'other:Service'", "1: service: 'other:Service' differs from the target's service"),
    "type": ("name: x\ninclude: yes", "2: include: expected a list of strings, got a boolean"),
    "yaml": ("labels:\n  a: {", "3: invalid YAML: "),
}
# A version that differs from the lock, which uv reports.
PIN = "python: {packages: ['numpy<1']}"
ENVIRONMENTS = {
    "environment": "run_script: 'setup.sh' isn't in srcs. Add the file to srcs, or correct the path.",
    "old": "Python 3.7 isn't supported. Use 3.9, ",
}


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
    options_have_a_file_and_a_line(checkout)
    return (
        f"{len(OPTIONS)} bentofiles are refused by line, {len(ENVIRONMENTS)} images where they are defined; "
        f"{len(ESCAPES)} links that escape and a service that is excluded are named; links that stay inside pass"
    )


def options_have_a_file_and_a_line(checkout: Checkout) -> None:
    checkout.write("options/BUILD.bazel", BENTOFILES)
    checkout.write("options/service.py", "import bentoml\n\n@bentoml.service\nclass Service:\n    pass\n")
    checkout.write("options/setup.sh", "#!/bin/sh\n")
    for name, (text, _) in OPTIONS.items():
        checkout.write(f"options/{name}.yaml", f"{text}\n")
    checkout.write("options/pin.yaml", f"{PIN}\n")
    built = checkout.bazel("build", "--keep_going", "//options/...")
    assert built.code == 1, built.told()
    for name, (_, message) in OPTIONS.items():
        assert f"\n//options:{name}: options/{name}.yaml:{message}" in built.errors, f"{name}: {built.told()}"
    assert "\n//options:pin: the requirements conflict with the lock for linux_" in built.errors, built.told()
    assert "numpy<1" in built.errors, built.told()
    for name, message in ENVIRONMENTS.items():
        assert f"\n//options:{name}: {message}" in built.errors, f"{name}: {built.told()}"
    assert "Traceback" not in built.errors, built.told()
