"""The repository of the interpreter that the action helpers run in."""

load(":fetch.bzl", "host_python")

_MINIMUM = [3, 10]

# The interpreter of a repository that has one.
_OWN = "cpython/bin/python3"

_BUILD_HOST = """\
load("@rules_bento//toolchains:python.bzl", "bento_python")

bento_python(
    name = "python",
    interpreter_path = "{path}",
    version = "{version}",
    visibility = ["//visibility:public"],
)
"""

_BUILD_PACKED = """\
load("@rules_bento//toolchains:python.bzl", "bento_python")

exports_files(
    ["cpython/bin/python3"],
    visibility = ["//visibility:public"],
)

bento_python(
    name = "python",
    files = glob(["cpython/lib/**"]),
    interpreter = "cpython/bin/python3",
    version = "{version}",
    visibility = ["//visibility:public"],
)
"""

_BUILD_MANAGED = """\
load("@rules_bento//toolchains:python.bzl", "bento_python")

bento_python(
    name = "python",
    files = glob(
        ["cpython/**"],
        exclude = [
            "**/__pycache__/**",
            "**/*.pyc",
            "cpython/include/**",
            "cpython/share/**",
            "cpython/lib/python*/ensurepip/**",
            "cpython/lib/python*/idlelib/**",
            "cpython/lib/python*/site-packages/**",
            "cpython/lib/python*/test/**",
            "cpython/lib/python*/tkinter/**",
            "cpython/lib/python*/turtledemo/**",
            "cpython/lib/tcl*/**",
            "cpython/lib/tk*/**",
        ],
    ),
    interpreter = "cpython/bin/python3",
    version = "{version}",
    visibility = ["//visibility:public"],
)
"""

def _version_of(rctx, python):
    done = rctx.execute([python, "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
    if done.return_code:
        fail("{} does not run: {}".format(python, done.stderr.strip()))
    version = done.stdout.strip()
    if [int(part) for part in version.split(".")[:2]] < _MINIMUM:
        fail("{} is Python {}; rules_bento needs 3.10 or newer: name one with bento_tools.python(interpreter = ...)".format(python, version))
    return version

def _install_managed(rctx):
    """Lets uv install a CPython into the repository; returns what hindered it, or None."""
    rctx.report_progress("fetching CPython {}".format(rctx.attr.version))
    done = rctx.execute(
        [rctx.path(rctx.attr.uv), "python", "install", rctx.attr.version, "--install-dir", "managed", "--no-bin"],
        environment = {"UV_HTTP_RETRIES": "1", "UV_PYTHON_DOWNLOADS": "manual"},
    )
    if done.return_code:
        return done.stderr.strip().split("\n")[-1].strip()
    found = [entry for entry in rctx.path("managed").readdir() if entry.basename.startswith("cpython-")]
    rctx.symlink(found[0], "cpython")
    return None

def _execute(rctx, command, environment):
    done = rctx.execute(command, environment = environment)
    if done.return_code:
        fail("no interpreter can be made of {}; its packages need the C library of their release, or a newer one:\n{}".format(
            rctx.attr.lock,
            (done.stdout + done.stderr).strip(),
        ))

def _unpack_debs(rctx):
    """Unpacks the packages into `debian`; returns the folders that have shared libraries."""
    for number, deb in enumerate(rctx.attr.debs):
        rctx.report_progress("unpacking {}".format(deb.name))
        rctx.extract(rctx.path(deb), output = "deb/{}".format(number))
        for entry in rctx.path("deb/{}".format(number)).readdir():
            if entry.basename.startswith("data.tar"):
                rctx.extract(entry, output = "debian")
    rctx.delete("deb")
    parents = [rctx.path("debian/usr/lib"), rctx.path("debian/lib")]
    return [entry for parent in parents if parent.exists for entry in parent.readdir() if "-linux-" in entry.basename]

def _install_debs(rctx):
    """Makes an interpreter of Debian packages that needs nothing but a C library beside it."""
    libraries = _unpack_debs(rctx)
    prefix = rctx.path("debian/usr")
    packages = [entry for entry in prefix.get_child("bin").readdir() if entry.basename.startswith("python3.")]
    environment = {"LD_LIBRARY_PATH": ":".join([str(folder) for folder in libraries])}
    packer = rctx.path(Label("//toolchains/private:pack_python.py"))
    _execute(rctx, [packages[0], "-I", "-S", "-B", packer, prefix, rctx.path("cpython")] + libraries, environment)

    # Wherever it lies, its libraries are beside it.
    patch = [prefix.get_child("bin/patchelf"), "--force-rpath", "--set-rpath", "$ORIGIN/../lib", rctx.path(_OWN)]
    _execute(rctx, patch, environment)
    rctx.delete("debian")

def _python_repo_impl(rctx):
    build, python, problem = _BUILD_HOST, rctx.attr.interpreter, None
    if rctx.attr.debs:
        _install_debs(rctx)
        build, python = _BUILD_PACKED, rctx.path(_OWN)
    elif not python:
        problem = _install_managed(rctx)
        if problem and rctx.attr.only_version:
            fail("CPython {0} could not be fetched: {1}.\nName one of this machine, or a lock of Debian packages: bento_tools.compiler(version = \"{0}\", interpreter or debs = \"...\").".format(rctx.attr.version, problem))
        build, python = (_BUILD_HOST, host_python(rctx).realpath) if problem else (_BUILD_MANAGED, rctx.path(_OWN))
    version = _version_of(rctx, python)
    if rctx.attr.only_version and not (version + ".").startswith(rctx.attr.version + "."):
        fail("bento_tools.compiler(version = \"{}\"): {} is Python {}".format(rctx.attr.version, rctx.attr.lock or python, version))
    if problem:
        # buildifier: disable=print
        print(("\nrules_bento runs its actions in the host's Python {} ({}), for CPython {} could not be fetched: {}.\n" +
               "Outputs are the same; cache hits between machines need the same path and a Python of the same minor version there.\n" +
               "To choose: bento_tools.python(interpreter = \"...\") or (debs = \"...\") in MODULE.bazel.").format(version, python, rctx.attr.version, problem))
    rctx.file("BUILD.bazel", build.format(path = python, version = version))
    rctx.file("path", str(python))
    rctx.file("version", version)

python_repo = repository_rule(
    implementation = _python_repo_impl,
    doc = "An interpreter: the given one, or one of Debian packages, else one that uv fetches, else the host's.",
    attrs = {
        "debs": attr.label_list(doc = "Debian packages of an interpreter, the C library left out, with patchelf."),
        "interpreter": attr.string(doc = "Path of an interpreter on the host that is to be used; empty to fetch one."),
        "lock": attr.label(doc = "The lock that names the packages."),
        "only_version": attr.bool(doc = "Whether no other version will do."),
        "uv": attr.label(doc = "The uv that fetches it.", mandatory = True),
        "version": attr.string(doc = "The version to fetch, X.Y or X.Y.Z.", mandatory = True),
    },
    environ = ["PATH"],
)
