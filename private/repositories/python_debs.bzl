"""Declares interpreters that are built from Debian packages, one for each architecture in a lock."""

load(":apt.bzl", "DEBIAN_PLATFORMS", "deb_files", "declare_deb_files")
load(":build_text.bzl", "PUBLIC", "load_text", "target_text")
load(":fetch.bzl", "host_platform")

# Package whose libraries are excluded from the library path during packing. The C library must match the dynamic
# loader of the machine.
_C_LIBRARY = "libc6"

# Starts of the names of packages on which packages of the interpreter depend, but no file of a packed interpreter
# (`_NO_EXTENSIONS` of pack_python.py).
_UNUSED = ("gcc-", "libdb", "libgdbm", "libncurses", "libreadline", "libtinfo")

# Debian package with the wheel of pip. Repository rules run pip if only pip's configuration contains the index.
_PIP = "python3-pip-whl"

def _paths(rctx, platform):
    return [rctx.path(deb) for deb, its_platform in rctx.attr.debs.items() if its_platform == platform]

def _unpack(rctx, debs, directory):
    """Unpacks Debian packages into `directory`. Returns the list of directories that contain shared libraries.

    `extract` follows `../` in names. These packages are trusted in any case: the lock of the root module has their
    hashes, and their interpreter runs on this machine. No other interpreter exists that could unpack them.
    """
    for number, deb in enumerate(debs):
        rctx.report_progress("unpacking {}".format(deb.basename))
        rctx.extract(deb, output = "deb/{}".format(number))
        for entry in rctx.path("deb/{}".format(number)).readdir():
            if entry.basename.startswith("data.tar"):
                rctx.extract(entry, output = directory)
    rctx.delete("deb")
    parents = [rctx.path(directory + "/usr/lib"), rctx.path(directory + "/lib")]
    return [entry for parent in parents if parent.exists for entry in parent.readdir() if "-linux-" in entry.basename]

def _execute(rctx, command, libraries):
    done = rctx.execute(
        command,
        environment = {"LD_LIBRARY_PATH": ":".join([str(directory) for directory in libraries])},
    )
    if done.return_code:
        fail(("cannot build an interpreter from {}: {}. Use a machine whose glibc is at least as new as the glibc " +
              "of the lock's Debian release.").format(
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
    # The interpreter for the architecture of this machine packs all interpreters, because they have the same version
    # and bytecode.
    host = host_platform(rctx)
    if host not in rctx.attr.debs.values():
        fail(("building an interpreter for {} on this machine requires packages for {}, which aren't in {}. Add the " +
              "architecture to the lock's bento_debs target.").format(
            rctx.attr.platform,
            host,
            rctx.attr.lock,
        ))

    # The function resolves all labels first, because Bazel restarts the function for each label whose repository isn't
    # fetched yet.
    debs, host_debs = _paths(rctx, rctx.attr.platform), _paths(rctx, host)
    packer = rctx.path(Label("//toolchains/programs:pack_python.py"))
    libraries = _unpack(rctx, debs, "debian")
    host_root, host_libraries = "debian", libraries
    if host != rctx.attr.platform:
        host_root, host_libraries = "host", _unpack(rctx, host_debs, "host")
    prefix, host_prefix = rctx.path("debian/usr"), rctx.path(host_root + "/usr")
    pythons = [entry for entry in host_prefix.get_child("bin").readdir() if entry.basename.startswith("python3.")]
    _execute(
        rctx,
        [
            pythons[0],
            "-I",
            "-S",
            "-B",
            packer,
            prefix.get_child("bin/" + pythons[0].basename),
            rctx.path("cpython/bin/python3"),
        ] + libraries,
        host_libraries,
    )

    # The path is relative to the program, so that the program finds its libraries in every directory.
    patch = [
        host_prefix.get_child("bin/patchelf"),
        "--force-rpath",
        "--set-rpath",
        "$ORIGIN/../lib",
        rctx.path("cpython/bin/python3"),
    ]
    _execute(rctx, patch, host_libraries)
    _unpack_pip(rctx, prefix)
    rctx.delete("debian")
    rctx.delete("host")
    head = load_text("private:interpreters.bzl", "bento_python") + target_text(
        "exports_files",
        srcs = ["cpython/bin/python3"],
        visibility = PUBLIC,
    )
    rctx.file("BUILD.bazel", head + target_text(
        "bento_python",
        {"files": "glob([\"cpython/lib/**\"])"},
        interpreter = "cpython/bin/python3",
        name = "python",
        version = rctx.attr.version,
        visibility = PUBLIC,
    ))

# Builds an interpreter from Debian packages, which requires only the machine's C library. `debs` (label to platform)
# include patchelf but not the C library. Error messages contain `lock`.
_deb_python_repo = repository_rule(
    implementation = _deb_python_repo_impl,
    attrs = {
        "debs": attr.label_keyed_string_dict(mandatory = True),
        "lock": attr.label(mandatory = True),
        "platform": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
    },
)

def _interpreter_packages(packages):
    """Returns a struct with the Debian packages (`names`) and `version` of an interpreter.

    If a package is missing, the struct has only its name, `missing`.
    """
    versions = {package["name"]: package["version"] for package in packages}
    interpreters = [name for name in versions if name.startswith("python3.") and name.endswith("-minimal")]
    if not interpreters or "patchelf" not in versions:
        return struct(missing = "patchelf" if interpreters else "python3", names = [], version = "")
    library = "lib{}-stdlib".format(interpreters[0].removesuffix("-minimal"))
    names = [interpreters[0], "patchelf"] + [name for name in (library, _PIP) if name in versions]
    return struct(
        missing = "",
        names = names,
        version = versions[interpreters[0]].partition(":")[2] or versions[interpreters[0]],
    )

def _upstream(version):
    return version.partition("-")[0].partition("+")[0].partition("~")[0]

def declare_python_debs(mctx, *, name, tag):
    """Declares the interpreters in `debian_lock` of a tag, without building them.

    Args:
      mctx: module context.
      name: prefix of the repository names.
      tag: a tag with the attributes `debian_lock`, `interpreter`, and `mirrors`.

    Returns:
      A struct of `pythons` (labels to platforms), `version` (`X.Y.Z`), `has_pip`, and `problem` (an error, or None).
      The error must only be
      reported if a build uses the interpreter, because the target that locks missing packages must work.
    """
    where = "bento_tools.python(debian_lock = \"{}\")".format(tag.debian_lock)
    if tag.interpreter:
        fail("{}: interpreter and debian_lock can't be combined. Remove one of these attributes.".format(where))
    hub = name + "_debs"
    read = declare_deb_files(mctx, hub = hub, lock = tag.debian_lock, mirrors = tag.mirrors)
    if read.problem:
        return struct(
            has_pip = False,
            pythons = {},
            problem = "{}: {}".format(where, read.problem.removesuffix(".")),
            version = "",
        )
    locked = read.packages
    debs, versions = {}, {}
    for architecture, packages in locked.items():
        selected = _interpreter_packages(packages)
        if selected.missing:
            return struct(has_pip = False, pythons = {}, problem = ("{}: the lock contains no {} for {}. Add the " +
                                                                    "package to the packages of the bento_debs " +
                                                                    "target, and update the lock").format(
                where,
                selected.missing,
                DEBIAN_PLATFORMS[architecture],
            ), version = "")
        versions[DEBIAN_PLATFORMS[architecture]] = _upstream(selected.version)

        # Certificates and tables, for example. The interpreter consists of machine code and the standard library.
        only_data = [
            package["name"]
            for package in packages
            if package["architecture"] == "all" and package["name"] != _PIP
        ]
        for package, label in deb_files(hub, packages, architecture, selected.names).items():
            if package != _C_LIBRARY and package not in only_data and not package.startswith(_UNUSED):
                debs[label] = DEBIAN_PLATFORMS[architecture]
    if len({version: True for version in versions.values()}) != 1:
        problem = "the lock has Python {}".format(
            " and ".join(["{} for {}".format(*reversed(item)) for item in versions.items()]),
        ) if versions else "the lock has no packages"
        return struct(
            has_pip = False,
            pythons = {},
            problem = "{}: {}. Update the lock".format(where, problem),
            version = "",
        )
    for platform, version in versions.items():
        _deb_python_repo(
            name = "{}_{}".format(name, platform),
            debs = debs,
            lock = tag.debian_lock,
            platform = platform,
            version = version,
        )
    return struct(
        has_pip = not [
            packages
            for packages in locked.values()
            if _PIP not in [package["name"] for package in packages]
        ],
        pythons = {"@{}_{}//:cpython/bin/python3".format(name, platform): platform for platform in versions},
        problem = "",
        version = versions.values()[0],
    )
