"""The repository of the interpreter that the action helpers run in."""

load(":fetch.bzl", "host_python")

_MINIMUM = [3, 10]

_BUILD_HOST = """\
load("@rules_bento//toolchains:python.bzl", "bento_python")

bento_python(
    name = "python",
    interpreter_path = "{path}",
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

def _python_repo_impl(rctx):
    problem = None
    if not rctx.attr.interpreter:
        problem = _install_managed(rctx)
        if not problem:
            version = _version_of(rctx, rctx.path("cpython/bin/python3"))
            rctx.file("BUILD.bazel", _BUILD_MANAGED.format(version = version))
            rctx.file("version", version)
            rctx.file("path", str(rctx.path("cpython/bin/python3")))
            return
    python = rctx.attr.interpreter or str(host_python(rctx).realpath)
    version = _version_of(rctx, python)
    if problem:
        # buildifier: disable=print
        print(("\nrules_bento runs its actions in the host's Python {} ({}), for CPython {} could not be fetched: {}.\n" +
               "Outputs are the same; cache hits between machines need the same path and a Python of the same minor version there.\n" +
               "To choose: bento_tools.python(interpreter = \"...\") in MODULE.bazel.").format(version, python, rctx.attr.version, problem))
    rctx.file("BUILD.bazel", _BUILD_HOST.format(path = python, version = version))
    rctx.file("version", version)
    rctx.file("path", python)

python_repo = repository_rule(
    implementation = _python_repo_impl,
    doc = "An interpreter: the given one, else one that uv fetches, else the host's.",
    attrs = {
        "interpreter": attr.string(doc = "Path of an interpreter on the host that is to be used; empty to fetch one."),
        "uv": attr.label(doc = "The uv that fetches it.", mandatory = True),
        "version": attr.string(doc = "The version to fetch, X.Y or X.Y.Z.", mandatory = True),
    },
    environ = ["PATH"],
)
