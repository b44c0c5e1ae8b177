"""Interpreters that are made of Debian packages, one for each architecture that a lock has."""

load(":apt.bzl", "PLATFORMS_OF_DEBIAN", "deb_files", "declare_deb_files")
load(":build_text.bzl", "build_text")
load(":fetch.bzl", "host_platform")

# Not put on the path of libraries while packing: the C library has to be the one that the machine's dynamic loader belongs to.
_C_LIBRARY = "libc6"

# pip as a wheel: it tells repository rules of an index that only pip's settings name.
_PIP = "python3-pip-whl"

_BUILD = """\
load("@rules_bento//toolchains:python.bzl", "bento_python")

exports_files(
    ["cpython/bin/python3"],
    visibility = ["//visibility:public"],
)

bento_python(
    name = "python",
    files = glob(["cpython/lib/**"]),
    interpreter = "cpython/bin/python3",
    version = {version},
    visibility = ["//visibility:public"],
)
"""

def _paths(rctx, platform):
    return [rctx.path(deb) for deb, its_platform in rctx.attr.debs.items() if its_platform == platform]

def _unpack(rctx, debs, folder):
    """Unpacks packages; returns the folders that have shared libraries."""
    for number, deb in enumerate(debs):
        rctx.report_progress("unpacking {}".format(deb.basename))
        rctx.extract(deb, output = "deb/{}".format(number))
        for entry in rctx.path("deb/{}".format(number)).readdir():
            if entry.basename.startswith("data.tar"):
                rctx.extract(entry, output = folder)
    rctx.delete("deb")
    parents = [rctx.path(folder + "/usr/lib"), rctx.path(folder + "/lib")]
    return [entry for parent in parents if parent.exists for entry in parent.readdir() if "-linux-" in entry.basename]

def _execute(rctx, command, libraries):
    done = rctx.execute(command, environment = {"LD_LIBRARY_PATH": ":".join([str(folder) for folder in libraries])})
    if done.return_code:
        fail("no interpreter can be made of {}; its packages need the C library of their release, or a newer one:\n{}".format(
            rctx.attr.lock,
            (done.stdout + done.stderr).strip(),
        ))

def _unpack_pip(rctx, prefix):
    wheels = prefix.get_child("share/python-wheels")
    for wheel in wheels.readdir() if wheels.exists else []:
        if wheel.basename.startswith("pip-"):
            rctx.symlink(wheel, "pip.zip")
            rctx.extract("pip.zip", output = "pip")
            rctx.delete("pip.zip")

def _deb_python_repo_impl(rctx):
    # The interpreter for this machine's architecture packs those for all: it is of the same version, and byte code is the same on all machines.
    here = host_platform(rctx)
    if here not in rctx.attr.debs.values():
        fail("an interpreter of Debian packages for {} is made by one for {}, and {} has none: add the architecture to its bento_debs target, or build where a cache has it".format(
            rctx.attr.platform,
            here,
            rctx.attr.lock,
        ))

    # All labels are resolved first, for Bazel starts this function again whenever one is not fetched yet.
    debs, own_debs = _paths(rctx, rctx.attr.platform), _paths(rctx, here)
    packer = rctx.path(Label("//toolchains/private:pack_python.py"))
    libraries = _unpack(rctx, debs, "debian")
    own, own_libraries = "debian", libraries
    if here != rctx.attr.platform:
        own, own_libraries = "here", _unpack(rctx, own_debs, "here")
    prefix, own_prefix = rctx.path("debian/usr"), rctx.path(own + "/usr")
    pythons = [entry for entry in own_prefix.get_child("bin").readdir() if entry.basename.startswith("python3.")]
    _execute(rctx, [pythons[0], "-I", "-S", "-B", packer, prefix.get_child("bin/" + pythons[0].basename), rctx.path("cpython/bin/python3")] + libraries, own_libraries)

    # A path relative to the program, so that it finds its libraries wherever it is put.
    patch = [own_prefix.get_child("bin/patchelf"), "--force-rpath", "--set-rpath", "$ORIGIN/../lib", rctx.path("cpython/bin/python3")]
    _execute(rctx, patch, own_libraries)
    _unpack_pip(rctx, prefix)
    rctx.delete("debian")
    rctx.delete("here")
    rctx.file("BUILD.bazel", build_text(_BUILD, version = rctx.attr.version))

_deb_python_repo = repository_rule(
    implementation = _deb_python_repo_impl,
    doc = "An interpreter of Debian packages that needs nothing but a C library beside it.",
    attrs = {
        "debs": attr.label_keyed_string_dict(doc = "Packages of the interpreter, with patchelf and without the C library, to their platforms.", mandatory = True),
        "lock": attr.label(doc = "The lock that names the packages.", mandatory = True),
        "platform": attr.string(doc = "What it runs on.", mandatory = True),
        "version": attr.string(doc = "Its version, `X.Y.Z`.", mandatory = True),
    },
)

def _chosen(packages):
    """Returns the packages of an interpreter for an architecture, and its version; None, and what is missing, if there is none."""
    versions = {package["name"]: package["version"] for package in packages}
    interpreters = [name for name in versions if name.startswith("python3.") and name.endswith("-minimal")]
    if not interpreters or "patchelf" not in versions:
        return struct(missing = "patchelf" if interpreters else "python3", names = [], version = "")
    library = "lib{}-stdlib".format(interpreters[0].removesuffix("-minimal"))
    names = [interpreters[0], "patchelf"] + [name for name in (library, _PIP) if name in versions]
    return struct(missing = "", names = names, version = versions[interpreters[0]].partition(":")[2] or versions[interpreters[0]])

def _upstream(version):
    return version.partition("-")[0].partition("+")[0].partition("~")[0]

def declare_python_debs(mctx, *, name, tag, kind):
    """Declares the interpreters that a tag's lock of Debian packages has. None is made by that.

    Args:
      mctx: the module context.
      name: what the names of the repositories begin with.
      tag: the tag, with the attributes `debian_lock`, `interpreter` and `mirrors`.
      kind: its name, for messages.

    Returns:
      A struct of pythons, their labels to their platforms; version, `X.Y.Z`; has_pip, whether each has a pip beside it; and problem, why there are none: who needs none is not
      hindered, least of all who locks what is missing.
    """
    where = "bento_tools.{}(debian_lock = \"{}\")".format(kind, tag.debian_lock)
    if tag.interpreter:
        fail("{}: set interpreter or debian_lock, not both".format(where))
    hub = name + "_debs"
    locked = declare_deb_files(mctx, hub = hub, lock = tag.debian_lock, mirrors = tag.mirrors, tag = where)
    debs, versions = {}, {}
    for architecture, packages in locked.items():
        chosen = _chosen(packages)
        if chosen.missing:
            return struct(has_pip = False, pythons = {}, problem = "{}: the lock has no {} for {}; add it to the packages of its bento_debs target and lock again".format(
                where,
                chosen.missing,
                PLATFORMS_OF_DEBIAN[architecture],
            ), version = "")
        versions[PLATFORMS_OF_DEBIAN[architecture]] = _upstream(chosen.version)
        for package, label in deb_files(hub, packages, architecture, chosen.names).items():
            if package != _C_LIBRARY:
                debs[label] = PLATFORMS_OF_DEBIAN[architecture]
    if len({version: True for version in versions.values()}) != 1:
        problem = "the lock has Python {}".format(" and ".join(["{} for {}".format(*reversed(item)) for item in versions.items()])) if versions else "the lock has no packages"
        return struct(has_pip = False, pythons = {}, problem = "{}: {}; lock again".format(where, problem), version = "")
    for platform, version in versions.items():
        _deb_python_repo(name = "{}_{}".format(name, platform), debs = debs, lock = tag.debian_lock, platform = platform, version = version)
    return struct(
        has_pip = not [packages for packages in locked.values() if _PIP not in [package["name"] for package in packages]],
        pythons = {"@{}_{}//:cpython/bin/python3".format(name, platform): platform for platform in versions},
        problem = "",
        version = versions.values()[0],
    )
