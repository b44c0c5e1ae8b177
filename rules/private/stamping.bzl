"""Stamping: whether `{KEY}` is replaced by a value of Bazel's workspace status."""

load(":providers.bzl", "BentoFlagInfo")

_BY_FLAG = -1

# Attributes of rules that insert values of the workspace status.
STAMP = {
    "stamp": attr.int(
        default = _BY_FLAG,
        doc = "Whether to insert values of the workspace status: 1 always, 0 never, -1 (default) in builds with `--stamp`.",
        values = [_BY_FLAG, 0, 1],
    ),
    "_stamp": attr.label(default = "//rules:stamp", providers = [BentoFlagInfo]),
}

# Keys of stable-status.txt: Bazel runs an action again when one of them changes, and not for keys of volatile-status.txt.
_STABLE = ["{STABLE_", "{BUILD_EMBED_LABEL}", "{BUILD_HOST}", "{BUILD_USER}"]

def is_stamped(ctx):
    """Returns whether a target with the attributes of `STAMP` is stamped in this build."""
    return bool(ctx.attr._stamp[BentoFlagInfo].value) if ctx.attr.stamp == _BY_FLAG else bool(ctx.attr.stamp)

def status_files(ctx, texts):
    """Returns the list of workspace status files with the keys in `texts`; empty if the target isn't stamped, or `texts` has no keys.

    Args:
      ctx: context of a rule.
      texts: list of strings.

    Returns:
      The list of workspace status files with the keys in `texts`; empty if the target isn't stamped, or `texts` has no keys.
    """
    if not is_stamped(ctx) or not [text for text in texts if "{" in text]:
        return []
    stable = [key for key in _STABLE for text in texts if key in text]
    return ([ctx.info_file] if stable else []) + [ctx.version_file]
