"""The repository of an interpreter: it says which one actions and repository rules run, and has none of its own."""

load("@pythons_hub//:interpreters.bzl", "INTERPRETER_LABELS")
load("//toolchains:versions.bzl", "OLDEST_RULES_PYTHON", "PYTHON_VERSION")
load(":build_text.bzl", "build_text", "select_text")
load(":fetch.bzl", "host_platform")
load(":python_debs.bzl", "declare_python_debs")

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

_WAYS_OUT = """{problem}.
To have one, write into MODULE.bazel
    bazel_dep(name = "rules_python", version = "{rules_python}")  # or newer, where there is none; and
    python = use_extension("@rules_python//python/extensions:python.bzl", "python")
    python.toolchain(python_version = "{version}")  # of rules_python, for each platform; or
    bento_tools = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_tools")
    bento_tools.{kind}({more}debian_lock = "//:debian.lock.json")  # made of Debian packages that a bento_debs target locks; or
    bento_tools.{kind}({more}interpreter = "python3")  # the one on PATH; machines share a cache if theirs are at one path and of one version"""

def _of_rules_python():
    """Returns the interpreters that rules_python has for this machine, by version `X.Y`."""
    found = {}
    for name, label in INTERPRETER_LABELS.items():
        numbers = name.removeprefix("python_").removesuffix("_host").split("_")
        if len(numbers) == 2 and numbers[0] == "3" and numbers[1].isdigit() and int(numbers[1]) >= 10:
            found[".".join(numbers)] = label
    return found

def declare_python(mctx, *, name, kind, tag, exact = False):
    """Declares the repository of an interpreter.

    Args:
      mctx: the module context.
      name: of the repository.
      kind: name of the tag, for messages.
      tag: a tag `bento_tools.python` or `bento_tools.compiler`; None for one that nobody has written.
      exact: whether no other version than the tag's will do.
    """
    common = {"name": name, "only_version": tag.version if exact else "", "tag": kind}
    if tag and tag.debian_lock:
        made = declare_python_debs(mctx, name = name, tag = tag, kind = kind)
        problem = made.problem
        if problem and kind == "python":
            problem += ". The tag has to be out of MODULE.bazel while you do that, for locking runs in this interpreter"
        python_repo(has_pip = made.has_pip, lock = tag.debian_lock, problem = problem, pythons = made.pythons, version = made.version, **common)
        return
    if tag and tag.interpreter:
        python_repo(interpreter = tag.interpreter, **common)
        return
    found = _of_rules_python()
    version = tag.version if tag and tag.version else (PYTHON_VERSION if PYTHON_VERSION in found or not found else _newest(found))
    if version in found:
        python_repo(toolchain = found[version], **common)
        return
    python_repo(
        problem = _WAYS_OUT.format(
            kind = kind,
            more = "version = \"{}\", ".format(version) if exact else "",
            problem = "bento_tools.{}: rules_python has no toolchain for Python {} here{}, and none is named".format(
                kind,
                version,
                ", but for {}".format(", ".join(sorted(found))) if found else "",
            ),
            rules_python = OLDEST_RULES_PYTHON,
            version = version,
        ),
        **common
    )

def _newest(versions):
    return "3.{}".format(max([int(version.partition(".")[2]) for version in versions]))

_BUILD_COMPILERS = """\
load("@rules_bento//toolchains:compilers.bzl", "bento_compilers")

bento_compilers(
    name = "compilers",
    pythons = {},
    visibility = ["//visibility:public"],
)
"""

compilers_repo = repository_rule(
    implementation = lambda rctx: rctx.file("BUILD.bazel", _BUILD_COMPILERS.format(json.encode([str(label) for label in rctx.attr.pythons]))),
    doc = "A target with all interpreters that make byte code.",
    attrs = {
        "pythons": attr.label_list(doc = "One for each version."),
    },
)
