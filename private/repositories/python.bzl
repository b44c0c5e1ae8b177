"""Declares the interpreters of `bento_tools`, from Debian packages, the host, or, by default, rules_python."""

load("@pythons_hub//:interpreters.bzl", "INTERPRETER_LABELS")
load("//private:attributes.bzl", "minor_version")
load("//private:python_version.bzl", "rules_python_interpreters")
load("//private:versions.bzl", "OLDEST_RULES_PYTHON", "PYTHON_VERSION", "PYTHON_VERSIONS")
load(":build_text.bzl", "PUBLIC", "failing_text", "load_text", "select_text", "target_text")
load(":fetch.bzl", "host_platform")
load(":python_debs.bzl", "declare_python_debs")

_MIN_VERSION = [3, 10]

# The file `pip` has -I before these words.
_PIP = ["-m", "pip"]

def _python_version(rctx, python):
    done = rctx.execute([python, "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"])
    if done.return_code:
        fail("bento_tools.python: cannot run {}: {}. Set another interpreter.".format(python, done.stderr.strip()))
    version = done.stdout.strip()
    if [int(part) for part in version.split(".")[:2]] < _MIN_VERSION:
        fail(
            ("{} is Python {}, but rules_bento requires Python 3.10 or later. Set bento_tools.python(interpreter = " +
             "...) to a newer interpreter.").format(python, version),
        )
    return version

# Environment variable with an interpreter of the host for repository rules, so that `bazel query` fetches none.
_QUERY_PYTHON = "BENTO_QUERY_PYTHON"
_ONLY_QUERY = "--repo_env={}: only for `bazel query`. Omit the flag from other commands.".format(_QUERY_PYTHON)

def _host_interpreter(rctx, name, where):
    """Returns the path of the host interpreter `name`, a path or program name that `where` sets.

    Fails if the program isn't on PATH.
    """
    program = rctx.path(name) if "/" in name else rctx.which(name)
    if not program:
        fail(
            "{}: the program isn't on PATH. Install the program, or set another interpreter.".format(where),
        )

    # An upgrade changes the program, or the target of a link to it.
    rctx.watch(program)
    return name if "/" in name else str(program.realpath)

def _deb_interpreters(rctx):
    """Returns a struct of `build` (the BUILD file), and of `python`, `pip`, and `version`.

    They describe the interpreter of this machine. Fails without one.
    """
    by_platform = {platform: label for label, platform in rctx.attr.pythons.items()}
    labels = {platform: str(label) for platform, label in by_platform.items()}
    pythons = {platform: label.partition("//")[0] + "//:python" for platform, label in labels.items()}
    no_match = ("{} has no Python for this platform, because bento_tools.python(debian_lock = ...) is for {}. Add " +
                "the architecture to the lock's bento_debs target.").format(
        rctx.attr.lock,
        " and ".join(sorted(labels)),
    )
    aliases = {"interpreter": labels, "python": pythons}
    build = "".join([
        target_text("alias", {"actual": select_text(cases, no_match)}, name = name, visibility = PUBLIC)
        for name, cases in aliases.items()
    ])
    host = host_platform(rctx)
    if host not in by_platform:
        fail(("bento_tools.python(debian_lock = \"{}\") has interpreters for {}, but the platform of this machine " +
              "is {}. Set interpreter instead of debian_lock. To use the interpreter from rules_python, remove " +
              "debian_lock.").format(
            rctx.attr.lock,
            " and ".join(sorted(labels)),
            host,
        ))
    python = rctx.path(by_platform[host])
    pip = [python.dirname.dirname.dirname.get_child("pip/pip")] if rctx.attr.has_pip else []
    return struct(build = build, pip = pip, python = python, version = rctx.attr.version)

def _python_repo_impl(rctx):
    queries = rctx.getenv(_QUERY_PYTHON)
    if queries:
        # The plan of a lock doesn't depend on the interpreter.
        python = _host_interpreter(rctx, queries, "--repo_env={}={}".format(_QUERY_PYTHON, queries))
        build = failing_text(["interpreter", "python"], _ONLY_QUERY)
        version = rctx.attr.only_version or _python_version(rctx, python)
        resolved = struct(build = build, pip = _PIP, python = python, version = version)
    elif rctx.attr.problem:
        fail(rctx.attr.problem)
    elif rctx.attr.pythons:
        resolved = _deb_interpreters(rctx)
    else:
        python = rctx.path(rctx.attr.toolchain) if rctx.attr.toolchain else _host_interpreter(
            rctx,
            rctx.attr.interpreter,
            "bento_tools.python(interpreter = \"{}\")".format(rctx.attr.interpreter),
        )
        resolved = struct(build = None, pip = _PIP, python = python, version = _python_version(rctx, python))
    if rctx.attr.only_version and not (resolved.version + ".").startswith(rctx.attr.only_version + "."):
        fail(
            ("bento_tools.python(version = \"{}\"): the interpreter {} is Python {}. Set version to the " +
             "interpreter's version.").format(
                rctx.attr.only_version,
                rctx.attr.lock or resolved.python,
                resolved.version,
            ),
        )
    kind = "bento_toolchain_python" if rctx.attr.toolchain else "bento_python"
    values = {"python_version": minor_version(resolved.version)} if rctx.attr.toolchain else {
        "interpreter_path": str(resolved.python),
        "version": resolved.version,
    }
    own = load_text("private:interpreters.bzl", kind) + target_text(
        kind,
        name = "python",
        visibility = PUBLIC,
        **values
    )
    rctx.file("BUILD.bazel", resolved.build or own)
    rctx.file("path", str(resolved.python))
    rctx.file(
        "pip",
        json.encode([str(resolved.python), "-I"] + [str(word) for word in resolved.pip] if resolved.pip else []),
    )
    rctx.file("version", resolved.version)

# Declares an interpreter from Debian packages, from rules_python, or from the host. Actions run the target `:python`
# for their execution platform. Repository rules run the program whose path is in the file `path`. The file `pip`
# contains a JSON list: the command that starts pip, or an empty list if the interpreter has no pip.
# `pythons` (label to platform) are from the Debian packages in `lock`, in the version `version`. `interpreter` is a
# path or a name on PATH, `toolchain` an interpreter from rules_python for this machine, and `problem` the error if
# there is none.
python_repo = repository_rule(
    implementation = _python_repo_impl,
    attrs = {
        "has_pip": attr.bool(),
        "interpreter": attr.string(),
        "lock": attr.label(),
        "only_version": attr.string(),
        "problem": attr.string(),
        "pythons": attr.label_keyed_string_dict(),
        "toolchain": attr.label(),
        "version": attr.string(),
    },
)

# A lock of Debian packages in this module, and its Python version.
_DEBIAN_LOCK = "@rules_bento//debian:python.lock.json"
_DEBIAN_PYTHON = "3.13"

_NO_INTERPRETER = """{problem}.
Add one of these to MODULE.bazel:
    bazel_dep(name = "rules_python", version = "{rules_python}")  # or newer, if it is missing; and
    python = use_extension("@rules_python//python/extensions:python.bzl", "python")
    python.toolchain(python_version = "{version}")  # from rules_python, for each platform; or
    bento_tools = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_tools")
    bento_tools.python({more}debian_lock = "{debian_lock}")  # from Debian packages{debian_note}; or
    bento_tools.python({more}interpreter = "python3")  # from PATH; only equal paths and versions share a cache"""

def declare_python(mctx, *, name, tag, problem = ""):
    """Declares the repository of an interpreter for a `bento_tools.python` tag, or None.

    With a `problem`, only targets of the repository fail, with this error.

    Returns a list of the other versions in rules_python.

    The list is empty if the tag excludes interpreters of rules_python.
    """
    required = tag.version if tag else ""
    common = {"name": name, "only_version": required}
    if problem:
        python_repo(problem = problem, **common)
        return []
    if tag and tag.debian_lock:
        declared = declare_python_debs(mctx, name = name, tag = tag)
        problem = (
            declared.problem +
            ". Until the lock is complete, remove the tag from MODULE.bazel" if declared.problem else ""
        )
        python_repo(
            has_pip = declared.has_pip,
            lock = tag.debian_lock,
            problem = problem,
            pythons = declared.pythons,
            version = declared.version,
            **common
        )
        return []
    if tag and tag.interpreter:
        python_repo(interpreter = tag.interpreter, **common)
        return []
    interpreters = rules_python_interpreters(INTERPRETER_LABELS)
    version = required or (interpreters.keys() + [PYTHON_VERSION])[0]
    if version in interpreters:
        python_repo(toolchain = interpreters[version], **common)
        return [other for other in interpreters if other != version]
    is_other = required not in ("", _DEBIAN_PYTHON)
    note = " (Python {})".format(_DEBIAN_PYTHON)
    if is_other:
        note = " of a distribution with this version, in a lock that a bento_debs target writes"
    python_repo(
        problem = _NO_INTERPRETER.format(
            debian_lock = "//:debian.lock.json" if is_other else _DEBIAN_LOCK,
            debian_note = note,
            more = "version = \"{}\", ".format(required) if required else "",
            problem = ("bento_tools.python: rules_python has no toolchain for Python {} in this build{}, and the " +
                       "tag sets no interpreter").format(
                version,
                ", but for {}".format(", ".join(sorted(interpreters))) if interpreters else "",
            ),
            rules_python = OLDEST_RULES_PYTHON,
            version = version,
        ),
        **common
    )
    return []

def _compilers_repo_impl(rctx):
    text = load_text("private:interpreters.bzl", "bento_packed_python")
    text += load_text("private:toolchain.bzl", "bento_compilers")
    for version in PYTHON_VERSIONS:
        packed = "python_" + version
        if version in rctx.attr.versions:
            python = "@bento_python_{}//:python".format(version.replace(".", "_"))
            text += target_text("bento_packed_python", name = packed, python = python)
        text += target_text(
            "bento_compilers",
            name = version,
            pythons = [":" + packed] if version in rctx.attr.versions else [],
            visibility = PUBLIC,
        )
    rctx.file("BUILD.bazel", text)

# Declares a target for each Python version except for the version that runs actions: the interpreter that compiles
# bytecode.
compilers_repo = repository_rule(
    implementation = _compilers_repo_impl,
    attrs = {"versions": attr.string_list()},
)

def _runtimes_repo_impl(rctx):
    text = load_text("private:toolchain.bzl", "python_toolchains")
    for name in [version.replace(".", "_") for version in rctx.attr.versions]:
        text += target_text(
            "python_toolchains",
            hub = rctx.attr.hub.format(name),
            name = name,
            python = "@bento_python_{}//:python".format(name),
        )
    rctx.file("BUILD.bazel", text)

# Declares the toolchains for tests, programs, and imports of services in Python versions other than that of actions.
# `hub` is a format: the name of the package hub with the helper's packages for a version.
runtimes_repo = repository_rule(
    implementation = _runtimes_repo_impl,
    attrs = {
        "hub": attr.string(mandatory = True),
        "versions": attr.string_list(),
    },
)
