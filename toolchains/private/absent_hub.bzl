"""The hub of a lock that is not there yet: it can be loaded, so that the target that writes the lock can be run."""

_REQUIREMENTS = '''\
"""The lock of these packages is not there yet."""

all_requirements = []

def requirement(name):
    """The label of a package. Nothing is there yet, so what needs it fails when it is built, and nothing else does.

    Args:
      name: of the package, as the index or as Python spells it.

    Returns:
      A label.
    """
    return Label("//" + name.lower().replace("-", "_").replace(".", "_"))
'''

def _absent_hub_repo_impl(rctx):
    # Printed, for the error of a package of this repository is Bazel's own and says only that there is no BUILD file.
    # buildifier: disable=print
    print("\n@{}: {}".format(rctx.attr.hub, rctx.attr.problem))
    rctx.file("requirements.bzl", _REQUIREMENTS)
    rctx.file("BUILD.bazel", "exports_files([\"requirements.bzl\"])\n")

absent_hub_repo = repository_rule(
    implementation = _absent_hub_repo_impl,
    doc = "A hub without packages.",
    attrs = {
        "hub": attr.string(doc = "Name of the hub, as its users write it.", mandatory = True),
        "problem": attr.string(doc = "Why it has none, and what to do.", mandatory = True),
    },
    # Evaluated by each server again, so that the problem is told each time.
    local = True,
)
