"""The repository of an interpreter: it says which one actions and repository rules run, and has none of its own."""

load(":build_text.bzl", "build_text", "select_text")
load(":host.bzl", "host_platform")

_MINIMUM = [3, 10]

_BUILD_HOST = """\
load("@rules_bento//toolchains:python.bzl", "bento_python")

bento_python(
    name = "python",
    interpreter_path = {path},
    version = {version},
    visibility = ["//visibility:public"],
)
"""

_BUILD_DEBS = """\
package(default_visibility = ["//visibility:public"])

alias(
    name = "python",
    actual = {python},
)

alias(
    name = "interpreter",
    actual = {interpreter},
)
"""

_BUILD_TOOLCHAIN = """\
load("@rules_bento//toolchains:toolchain_python.bzl", "bento_toolchain_python")

bento_toolchain_python(
    name = "python",
    python_version = {version},
    visibility = ["//visibility:public"],
)
"""

def _version_of(rctx, python):
    done = rctx.execute([python, "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
    if done.return_code:
        fail("{} does not run: {}".format(python, done.stderr.strip()))
    version = done.stdout.strip()
    if [int(part) for part in version.split(".")[:2]] < _MINIMUM:
        fail("{} is Python {}; rules_bento needs 3.10 or newer: name one with bento_tools.{}(interpreter = ...)".format(python, version, rctx.attr.tag))
    return version

def _on_host(rctx):
    """Returns the interpreter of this machine that MODULE.bazel names: a path, or a name on PATH."""
    name = rctx.attr.interpreter
    if "/" in name:
        return name
    found = rctx.which(name)
    if not found:
        fail("bento_tools.{}(interpreter = \"{}\"): no program of that name is on PATH; install it, or choose another interpreter".format(rctx.attr.tag, name))
    return str(found.realpath)

def _of_debs(rctx):
    """Returns the interpreters of Debian packages, and the one of them that runs here."""
    by_platform = {platform: label for label, platform in rctx.attr.pythons.items()}
    labels = {platform: str(label) for platform, label in by_platform.items()}
    pythons = {platform: label.partition("//")[0] + "//:python" for platform, label in labels.items()}
    no_match = "{} has no Python for this platform: bento_tools.{}(debian_lock = ...) is for {}".format(rctx.attr.lock, rctx.attr.tag, " and ".join(sorted(labels)))
    build = build_text(_BUILD_DEBS, {"interpreter": select_text(labels, no_match), "python": select_text(pythons, no_match)})
    here = host_platform(rctx)
    if here not in by_platform:
        fail("bento_tools.{}(debian_lock = \"{}\") makes interpreters for {}, and none runs here, on {}: leave the tag out for the toolchain of rules_python, or name an interpreter".format(
            rctx.attr.tag,
            rctx.attr.lock,
            " and ".join(sorted(labels)),
            here,
        ))
    python = rctx.path(by_platform[here])
    pip = [python.dirname.dirname.dirname.get_child("pip/pip")] if rctx.attr.has_pip else []
    return struct(build = build, pip = pip, python = python, version = rctx.attr.version)

def _python_repo_impl(rctx):
    if rctx.attr.problem:
        fail(rctx.attr.problem)
    if rctx.attr.pythons:
        found = _of_debs(rctx)
    else:
        python = rctx.path(rctx.attr.toolchain) if rctx.attr.toolchain else _on_host(rctx)
        found = struct(build = _BUILD_TOOLCHAIN if rctx.attr.toolchain else _BUILD_HOST, pip = ["-m", "pip"], python = python, version = _version_of(rctx, python))
    if rctx.attr.only_version and not (found.version + ".").startswith(rctx.attr.only_version + "."):
        fail("bento_tools.{}(version = \"{}\"): {} is Python {}".format(rctx.attr.tag, rctx.attr.only_version, rctx.attr.lock or found.python, found.version))
    version = ".".join(found.version.split(".")[:2]) if rctx.attr.toolchain else found.version
    rctx.file("BUILD.bazel", found.build if rctx.attr.pythons else build_text(found.build, path = str(found.python), version = version))
    rctx.file("path", str(found.python))
    rctx.file("pip", json.encode([str(found.python), "-I"] + [str(word) for word in found.pip] if found.pip else []))
    rctx.file("version", found.version)

python_repo = repository_rule(
    implementation = _python_repo_impl,
    doc = """An interpreter: of Debian packages, or of rules_python, or the given one of the host. Never the host's unless it is given.

Actions run `:python`, by the platform that they run on. Repository rules run what the file `path` names; `pip` has the
command of its pip, JSON, empty where it has none.""",
    attrs = {
        "has_pip": attr.bool(doc = "Whether there is a pip beside `pythons`."),
        "interpreter": attr.string(doc = "An interpreter on the host that is to be used, a path or a name on PATH."),
        "lock": attr.label(doc = "The lock of the Debian packages, for errors."),
        "only_version": attr.string(doc = "The version that it has to have; empty for any."),
        "problem": attr.string(doc = "Why there is none; empty if there is."),
        "pythons": attr.label_keyed_string_dict(doc = "Interpreters of Debian packages to their platforms."),
        "tag": attr.string(doc = "The tag of `bento_tools` that it comes from, for errors.", mandatory = True),
        "toolchain": attr.label(doc = "The interpreter of rules_python that runs here, if it is rules_python's."),
        "version": attr.string(doc = "The version of `pythons`."),
    },
)
