"""Checks whether the interpreter of actions and tests can import packages."""

load(":attributes.bzl", "label_string")

def minor_version(version):
    """Returns `X.Y` of the version `X.Y.Z` or `X.Y`."""
    return ".".join(version.split(".")[:2])

def check_interpreter(ctx, python, requirements):
    """Rejects packages for another Python version than the interpreter's (BentoPythonInfo), which their modules might not support.

    Args:
      ctx: context of a rule.
      python: a BentoPythonInfo.
      requirements: list of BentoRequirementInfo.
    """
    own = minor_version(python.version)
    for info in requirements:
        if info.python_version and minor_version(info.python_version) != own:
            fail(("{target}: {package} and its lock are for Python {theirs}, but the target imports them in Python {own}. " +
                  "Set bento.pypi(python_version = \"{own}\"), or bento_tools.python(version = \"{theirs}\") or (interpreter = \"...\"), in MODULE.bazel").format(
                own = own,
                package = info.distribution,
                target = label_string(ctx.label),
                theirs = minor_version(info.python_version),
            ))
