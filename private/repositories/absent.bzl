"""Declares repositories whose contents are unknown, because a lock or a tag is invalid. Only the targets that need
such a repository fail.

Bazel reports only a missing BUILD file for a label of a package that doesn't exist. Therefore, the repository has a
package for each name in the lock
and in files next to it, and prints the error for other names."""

load(":build_text.bzl", "PUBLIC", "failing_text", "load_text", "target_text")

_NO_REQUIREMENTS = '''\
"""This package hub has no valid lock."""

all_requirements = []

def requirement(name):
    """Returns the label of a package. Without a valid lock, only the targets that need it fail.

    Args:
      name: name of the package, in any spelling.

    Returns:
      A label.
    """
    return Label("//" + name.lower().replace("-", "_").replace(".", "_"))
'''

# Files next to a lock that contain names of packages.
_FILES = ["BUILD", "BUILD.bazel", "bentofile.yaml", "pyproject.toml"]
_SUFFIXES = [".in", ".txt"]
_SEPARATORS = "\t\r\n\"'](){}<>=!~;,/@#\\|*?$&`"
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789._+-"
_MAX_NAMES = 5000
_MAX_LENGTH = 60

def _is_name(word):
    is_short = 0 < len(word) and len(word) <= _MAX_LENGTH
    return is_short and word[0].isalnum() and not word.isdigit() and not word.strip(_NAME) and not word.endswith((
        ".bazel",
        ".bzl",
    ))

def mentioned_labels(text, is_python):
    """Returns a dict of package name to names of further targets.

    It contains all words of a string that might be a package, or `package:target`.
    """
    for separator in _SEPARATORS.elems():
        text = text.replace(separator, " ")
    labels = {}
    for word in text.lower().replace("[", ":").split(" "):
        package, _, target = word.partition(":")
        package = package.strip(".")
        if _is_name(package) and len(labels) < _MAX_NAMES:
            targets = labels.setdefault(package.replace("-", "_").replace(".", "_") if is_python else package, {})
            targets.update({target: True} if _is_name(target) else {})
    return labels

def _texts(rctx):
    """Returns the contents of the lock, if it exists, and of files next to it."""
    if not rctx.attr.lock:
        return ""
    lock = rctx.path(rctx.attr.lock)
    near = [
        file
        for file in lock.dirname.readdir()
        if file.basename in _FILES or [suffix for suffix in _SUFFIXES if file.basename.endswith(suffix)]
    ]
    return "\n".join([rctx.read(file) for file in [lock] + near if file.exists and not file.is_dir])

def _build_file(rctx, names):
    """Returns the text of a BUILD file whose targets fail."""
    if not rctx.attr.retry:
        return failing_text(names, rctx.attr.problem)
    labels = {"//conditions:default": str(rctx.attr.retry)}
    targets = [
        target_text("deferred", labels = labels, name = name, tags = ["manual"], visibility = PUBLIC)
        for name in names
    ]
    return load_text("private:hub_rules.bzl", "deferred") + "".join(targets)

def _absent_repo_impl(rctx):
    # buildifier: disable=print
    print("\n" + rctx.attr.problem)
    for name, targets in mentioned_labels(_texts(rctx), rctx.attr.is_python).items():
        own = {name: True} | ({"whl": True} if rctx.attr.is_python else {})
        rctx.file(name + "/BUILD.bazel", _build_file(rctx, own | targets))
    if rctx.attr.is_python:
        rctx.file("requirements.bzl", _NO_REQUIREMENTS)
    rctx.file("BUILD.bazel", _build_file(rctx, rctx.attr.targets))

absent_repo = repository_rule(
    implementation = _absent_repo_impl,
    doc = "Declares a repository whose lock is missing or invalid, or whose tag is invalid. BUILD files can load a " +
          "package hub, so you can run the target that writes the lock.",
    attrs = {
        "is_python": attr.bool(doc = "Whether the repository is a hub of Python packages."),
        "lock": attr.label(doc = "The lock. Might not exist."),
        "problem": attr.string(
            doc = "Error message that contains the tag, what is wrong, and how to correct it.",
            mandatory = True,
        ),
        "retry": attr.label(
            doc = "Target of a repository that fails with the current error, if the error might depend on the network.",
        ),
        "targets": attr.string_list(doc = "Names of targets in the root of the repository."),
    },
    # Each Bazel server evaluates the rule again, so that it prints the message again.
    local = True,
)
