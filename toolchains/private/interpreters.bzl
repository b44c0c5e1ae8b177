"""Finds the interpreter that a tag of `bento_tools` stands for: of Debian packages, of the host if it says so, else of rules_python."""

load("@pythons_hub//:interpreters.bzl", "INTERPRETER_LABELS")
load("//toolchains:versions.bzl", "OLDEST_RULES_PYTHON", "PYTHON_VERSION")
load(":python.bzl", "python_repo")
load(":python_debs.bzl", "declare_python_debs")

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
