"""The Debian packages that an interpreter is made of."""

load(":apt.bzl", "deb_files", "declare_deb_files")
load(":host.bzl", "host_platform")

_ARCHITECTURES = {"linux_aarch64": "arm64", "linux_x86_64": "amd64"}

# It has to be the one that the loader of the machine belongs to.
_C_LIBRARY = "libc6"

def python_debs(mctx, tag, where, hub):
    """Declares the packages of a lock, and chooses those of its interpreter; fails if it has none.

    Args:
      mctx: the module context.
      tag: the tag `bento_tools.python`.
      where: how messages name the tag.
      hub: what the names of the packages' repositories begin with.

    Returns:
      Labels of files; none if the tag names no lock.
    """
    found = compiler_debs(mctx, tag, where, hub)
    if found.problem:
        fail("{}. The tag has to be out of MODULE.bazel while you do that, for locking runs in this interpreter".format(found.problem))
    return found.files

def compiler_debs(mctx, tag, where, hub):
    """Declares the packages of a lock, and chooses those of its interpreter.

    Args:
      mctx: the module context.
      tag: the tag `bento_tools.compiler`, or `bento_tools.python`.
      where: how messages name the tag.
      hub: what the names of the packages' repositories begin with.

    Returns:
      A struct of files, a list of labels that is empty if the tag names no lock, and problem, why an interpreter cannot be
      made of them: who needs none is not hindered, least of all who locks what is missing.
    """
    if not tag.debian_lock:
        return struct(files = [], problem = "")
    where = "{}(debian_lock = \"{}\")".format(where, tag.debian_lock)
    if tag.interpreter:
        fail("{}: set interpreter or debian_lock, not both".format(where))
    platform = host_platform(mctx)
    architecture = _ARCHITECTURES.get(platform)
    locked = declare_deb_files(mctx, hub = hub, lock = tag.debian_lock, mirrors = tag.mirrors, tag = where)
    packages = locked.get(architecture, [])
    names = [package["name"] for package in packages]
    interpreters = [name for name in names if name.startswith("python3.") and name.endswith("-minimal")]
    if not interpreters or "patchelf" not in names:
        return struct(files = [], problem = "{}: the lock has no {} for {}; add it to the packages of its bento_debs target and lock again".format(
            where,
            "patchelf" if interpreters else "python3",
            platform,
        ))
    library = "lib{}-stdlib".format(interpreters[0].removesuffix("-minimal"))
    wanted = [interpreters[0], "patchelf"] + ([library] if library in names else [])
    files = [label for name, label in deb_files(hub, packages, architecture, wanted).items() if name != _C_LIBRARY]
    return struct(files = files, problem = "")
