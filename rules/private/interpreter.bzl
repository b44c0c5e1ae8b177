"""Checks whether the interpreter of actions, which also runs tests, can import packages."""

load(":attributes.bzl", "label_string")

def minor_version(version):
    """Returns the first two numbers of a version.

    Args:
      version: `X.Y.Z` or `X.Y`.

    Returns:
      `X.Y`.
    """
    return ".".join(version.split(".")[:2])

def check_interpreter(ctx, python, requirements):
    """Refuses packages for another version of Python: their modules fail to import, or behave otherwise.

    Args:
      ctx: the rule's context.
      python: BentoPythonInfo of what imports them.
      requirements: list of BentoRequirementInfo.
    """
    own = minor_version(python.version)
    for info in requirements:
        if info.python_version and minor_version(info.python_version) != own:
            fail(("{target}: {package} and the packages with it are for Python {theirs}, but what imports them here runs in Python {own}: " +
                  "set bento.pypi(python_version = \"{own}\"), or bento_tools.python(version = \"{theirs}\") or (interpreter = \"...\"), in MODULE.bazel").format(
                own = own,
                package = info.distribution,
                target = label_string(ctx.label),
                theirs = minor_version(info.python_version),
            ))
