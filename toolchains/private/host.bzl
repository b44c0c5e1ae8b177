"""The machine that repositories are fetched on."""

_OS = {"linux": "linux", "mac os x": "macos"}
_MACHINE = {"linux": {"amd64": "x86_64", "arm64": "aarch64"}, "macos": {"aarch64": "arm64", "x86_64": "x86_64"}}

def host_platform(rctx):
    """Names the host as wheels do.

    Args:
      rctx: a repository or module context.

    Returns:
      `<os>_<machine>`, for example `linux_x86_64`.
    """
    os = _OS.get(rctx.os.name)
    if not os:
        fail("rules_bento runs on Linux and macOS, not on {}".format(rctx.os.name))
    return "{}_{}".format(os, _MACHINE[os].get(rctx.os.arch, rctx.os.arch))
