"""The files that a lock is made from, as both the program that writes it and the test of it are told."""

load(":launcher.bzl", "runfile")

# Packages that the verbs which read these files import.
RESOLUTION_PACKAGES = ["packaging", "pyyaml"]

def source_arguments(ctx, sources, constraints, overrides):
    """Names the files in a launcher's arguments.

    Args:
      ctx: the rule's context.
      sources: list of Files that state requirements.
      constraints: list of Files that limit versions.
      overrides: list of Files that stand for what packages ask of one another.

    Returns:
      A list of flags and values.
    """
    arguments = []
    for flag, files in {"--constraint": constraints, "--override": overrides, "--source": sources}.items():
        for file in files:
            arguments += [flag, runfile(ctx, file), file.short_path]
    return arguments
