"""Stamping, which is one thing in all rules: whether `{KEY}` stands for a value of Bazel's workspace status."""

load(":providers.bzl", "BentoFlagInfo")

_BY_FLAG = -1

# Attributes of rules that fill in values of the workspace status.
STAMP = {
    "stamp": attr.int(
        default = _BY_FLAG,
        doc = "Whether values of the workspace status are filled in: 1 always, 0 never, -1 in builds with `--stamp`.",
        values = [_BY_FLAG, 0, 1],
    ),
    "_stamp": attr.label(default = "//rules:stamp", providers = [BentoFlagInfo]),
}

# Keys of stable-status.txt: Bazel runs an action again when one of them changes, and not for keys of volatile-status.txt.
_STABLE = ["{STABLE_", "{BUILD_EMBED_LABEL}", "{BUILD_HOST}", "{BUILD_USER}"]

def is_stamped(ctx):
    """Returns whether a target is stamped in this build.

    Args:
      ctx: context of a rule with the attributes of `STAMP`.

    Returns:
      A bool.
    """
    return bool(ctx.attr._stamp[BentoFlagInfo].value) if ctx.attr.stamp == _BY_FLAG else bool(ctx.attr.stamp)

def status_files(ctx, texts):
    """Returns the files of the workspace status that texts name keys of.

    Args:
      ctx: context of a rule with the attributes of `STAMP`.
      texts: list of strings.

    Returns:
      A list of Files; empty if the target is not stamped, or no text names a key.
    """
    if not is_stamped(ctx) or not [text for text in texts if "{" in text]:
        return []
    stable = [key for key in _STABLE for text in texts if key in text]
    return ([ctx.info_file] if stable else []) + [ctx.version_file]
