"""The repository of the interpreter that the action helpers run in."""

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

def _on_host(rctx):
    """The interpreter of this machine that MODULE.bazel names: a path, or a name on PATH."""
    name = rctx.attr.interpreter
    if "/" in name:
        return name
    found = rctx.which(name)
    if not found:
        fail("bento_tools.python(interpreter = \"{}\"): no program of that name is on PATH; install it, or choose another interpreter".format(name))
    return str(found.realpath)

def _cannot_fetch(rctx, problem):
    if rctx.attr.only_version:
        fail("CPython {0} could not be fetched: {1}.\nName one of this machine, or a lock of Debian packages: bento_tools.compiler(version = \"{0}\", interpreter or debian_lock = \"...\").".format(rctx.attr.version, problem))
    fail(("CPython {}, which actions run in, could not be fetched: {}.\n" +
          "To take another, write into MODULE.bazel\n" +
          "    bento_tools = use_extension(\"@rules_bento//toolchains:extensions.bzl\", \"bento_tools\")\n" +
          "    bento_tools.python(debian_lock = \"//:debian.lock.json\")  # one made of Debian packages that a bento_debs target locks, or\n" +
          "    bento_tools.python(interpreter = \"python3\")  # the one on PATH; machines share a cache if theirs are at one path and of one version").format(rctx.attr.version, problem))

def _python_repo_impl(rctx):
    if rctx.attr.problem:
        fail(rctx.attr.problem)
    build, python = _BUILD_HOST, None
    if rctx.attr.debs:
        _install_debs(rctx)
        build, python = _BUILD_PACKED, rctx.path(_OWN)
    elif rctx.attr.interpreter:
        python = _on_host(rctx)
    else:
        problem = _install_managed(rctx)
        if problem:
            _cannot_fetch(rctx, problem)
        build, python = _BUILD_MANAGED, rctx.path(_OWN)
    version = _version_of(rctx, python)
    if rctx.attr.only_version and not (version + ".").startswith(rctx.attr.version + "."):
        fail("bento_tools.compiler(version = \"{}\"): {} is Python {}".format(rctx.attr.version, rctx.attr.lock or python, version))
    rctx.file("BUILD.bazel", build.format(path = python, version = version))
    rctx.file("path", str(python))
    rctx.file("version", version)

python_repo = repository_rule(
    implementation = _python_repo_impl,
    doc = "An interpreter: the given one, or one of Debian packages, else one that uv fetches. Never the host's unless it is given.",
    attrs = {
        "debs": attr.label_list(doc = "Debian packages of an interpreter, the C library left out, with patchelf."),
        "interpreter": attr.string(doc = "An interpreter on the host that is to be used, a path or a name on PATH; empty to fetch one."),
        "lock": attr.label(doc = "The lock that names the packages."),
        "only_version": attr.bool(doc = "Whether no other version will do."),
        "problem": attr.string(doc = "Why `debs` make no interpreter; empty if they do."),
        "uv": attr.label(doc = "The uv that fetches it.", mandatory = True),
        "version": attr.string(doc = "The version to fetch, X.Y or X.Y.Z.", mandatory = True),
    },
)
