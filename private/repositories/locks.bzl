"""Reads locks in all supported formats, and converts them to the format of rules_bento (see
py/rules_bento/bentos/packages/lock_format.py)."""

load("//private:indexes.bzl", "encode_indexes", "indexes_at")

_INTERPRETER_FLAGS = ["-I", "-S", "-B", "-X", "utf8"]

# Exit statuses of the helper. Others can have other reasons, such as an index that uv can't reach.
_INVALID_LOCK = 1
_INVALID_SETTINGS = 2

# Files that aren't supported as locks, by the end of their names, to what to do.
_CONDA = ("isn't supported, because it lists packages of conda. List the Python packages in requirements.in, and " +
          "run `uv pip compile --universal --generate-hashes requirements.in --output-file requirements.lock.txt`.")
_UNSUPPORTED = {
    ".yaml": _CONDA,
    ".yml": _CONDA,
    "pyproject.toml": "isn't a lock. Run `uv lock`, and set lock to uv.lock.",
}

# Files next to locks of other tools, with the requirements from which the tool made the lock.
_REQUIREMENTS = {"Pipfile.lock": "Pipfile", "pdm.lock": "pyproject.toml", "poetry.lock": "pyproject.toml"}

def _is_normal_form(label):
    """Returns whether a lock, by its suffix, has the format of rules_bento."""
    return label.name.endswith(".json")

def requires_network(label):
    """Returns whether a lock, by its name, lacks dependencies between packages, which uv then gets from the index."""
    return not _is_normal_form(label) and label.name.rpartition("/")[2] != "uv.lock"

def _child(mctx, repository_label, name):
    """Returns the path of a file in a repository.

    `repository_label` is a BUILD file with the same content on all machines.

    Bazel stores the digests of files that the extension reads by label in MODULE.bazel.lock."""
    return mctx.path(repository_label).dirname.get_child(name)

def _shown(label):
    """Returns a label as users write it."""
    return str(label).removeprefix("@@").removeprefix("@")

def _uv_lock_hint(ctx, label):
    """Returns a sentence about the uv.lock in the directory of a lock, or an empty string."""
    lock = ctx.path(label)
    if lock.basename == "uv.lock" or not lock.dirname.get_child("uv.lock").exists:
        return ""
    package, _, name = _shown(label).partition(":")
    return " Or set lock to the uv.lock in the same directory: lock = \"{}:{}\".".format(
        package,
        name[:len(name) - len(lock.basename)] + "uv.lock",
    )

def _directory_hint(ctx, label):
    """Returns a sentence about the repository's own packages, or an empty string.

    `uv export` adds these packages to a lock by default.
    """
    own = [line for line in ctx.read(label).split("\n") if line.startswith(("-e ", "--editable", ".", "/", "file:"))]
    return (
        " If the lock is from uv, `uv export --no-emit-workspace` omits the repository's own packages." if own else ""
    )

# Attributes of `bento.pypi` that the helper applies to a lock, and to its wheels (with values that change nothing).
_SETTINGS = ["extras", "glibc", "groups", "macos", "members", "more_python_versions", "platforms", "python_version"]
_WHEEL_SETTINGS = {"allow_record_mismatch": {}, "exclude": {}, "exclude_presets": []}

def lock_settings(tag, is_build):
    """Returns the settings of a tag that determine what a lock provides, as a JSON string.

    Args:
      tag: a `bento.pypi` tag.
      is_build: whether the lock is `build_lock`, to whose wheels other settings don't apply.
    """
    values = {name: getattr(tag, name) for name in _SETTINGS} | {"indexes": encode_indexes(tag)}
    of_wheels = _WHEEL_SETTINGS if is_build else {name: getattr(tag, name) for name in _WHEEL_SETTINGS}
    return json.encode(values | of_wheels)

def read_lock(ctx, label, settings):
    """Reads a lock with the helper.

    Args:
      ctx: context of the module extension, or of the repository rule of `unread_repo`.
      label: label of the lock.
      settings: result of `lock_settings`.

    Returns:
      A struct of the decoded `lock`, `problem` (an error that only targets with the packages of the lock report, or
      None), and `is_transient` (whether the error might depend on the network).
    """
    python = ctx.read(_child(ctx, Label("@bento_python//:BUILD.bazel"), "path"), watch = "no")
    values = json.decode(settings)
    values["python_version"] = values["python_version"] or ctx.read(Label("@bento_python//:version"))
    if values["indexes"] and json.decode(values["indexes"]).get("find_links"):
        values["indexes"] = indexes_at(ctx.path(label), label, values["indexes"])
    lock = ctx.path(label)
    if lock.basename in _REQUIREMENTS and not label.workspace_root:
        ctx.watch(lock.dirname.get_child(_REQUIREMENTS[lock.basename]))
    ctx.file("settings.json", json.encode(values))
    ctx.report_progress("reading {}".format(label))
    command = [python] + _INTERPRETER_FLAGS + [
        ctx.path(Label("//py:main.py")),
        "--packages",
        _child(ctx, Label("@bento_helper_packages//:BUILD.bazel"), "site-packages"),
        "normalize_lock",
        "--lock",
        ctx.path(label),
        "--settings",
        ctx.path("settings.json"),
        "--output",
        ctx.path("lock.json"),
    ]
    if requires_network(label):
        command += ["--uv", _child(ctx, Label("@bento_uv//:BUILD.bazel"), "uv")]
    done = ctx.execute(command, timeout = 600)
    if not done.return_code:
        return struct(is_transient = False, lock = json.decode(ctx.read("lock.json")), problem = None)
    is_transient = done.return_code not in (_INVALID_LOCK, _INVALID_SETTINGS)
    problem = done.stderr.strip() or ("{}: the program that reads the lock ended without a " +
                                      "message. Try again.").format(_shown(label))
    if requires_network(label) and done.return_code == _INVALID_LOCK:
        problem += _directory_hint(ctx, label) + _uv_lock_hint(ctx, label)

    # Bazel might store the message in MODULE.bazel.lock.
    return struct(
        is_transient = is_transient,
        lock = None,
        problem = problem.replace(str(ctx.path(label)), _shown(label)),
    )

def unsupported_lock(mctx, label):
    """Returns the error message for a file that, by its name, isn't a supported lock, or None."""
    texts = [text for name, text in _UNSUPPORTED.items() if label.name.endswith(name)]
    return "{} {}{}".format(_shown(label), texts[0], _uv_lock_hint(mctx, label)) if texts else None

def absence_of_lock(mctx, label):
    """Returns the error message for a lock that is missing or empty, or None."""
    lock = mctx.path(label)
    if not label.workspace_root:
        mctx.watch(lock)
    if lock.exists and not (_is_normal_form(label) and mctx.read(lock).strip() == ""):
        return None
    how = "Run `uv pip compile --universal --generate-hashes requirements.in --output-file {}`".format(lock.basename)
    if _is_normal_form(label):
        how = "`bazel run` the bento_requirements target that writes the lock"
    elif lock.basename == "uv.lock":
        how = "Run `uv lock` in its directory"
    elif lock.basename.endswith(".toml"):
        how = "Run `uv export --format pylock.toml --no-emit-workspace --output-file {}`".format(lock.basename)
    return "the lock {} doesn't exist. {}.{}".format(_shown(label), how, _uv_lock_hint(mctx, label))

# File whose content changes if a lock has no transient error any more. The extension then reads the lock again.
_RETRIED = "locks_are_resolved"

def watch_retries(mctx):
    """Makes the extension run again after a repository of `unread_repo` could read its lock."""
    mctx.watch(_child(mctx, Label("@bento_uv//:BUILD.bazel"), _RETRIED))

def _unread_repo_impl(rctx):
    read = read_lock(rctx, rctx.attr.lock, rctx.attr.settings)
    if not read.is_transient:
        append = "import sys; open(sys.argv[1], 'a').write('resolved')"
        rctx.execute([
            rctx.read(Label("@bento_python//:path")),
            "-I",
            "-S",
            "-c",
            append,
            _child(rctx, Label("@bento_uv//:BUILD.bazel"), _RETRIED),
        ])

    # Bazel doesn't store the failure, so each command tries again.
    fail("\n{}: {}".format(rctx.attr.where, read.problem or "uv can resolve the lock now. Run the command again."))

unread_repo = repository_rule(
    implementation = _unread_repo_impl,
    doc = "Fails with the error of a lock that uv can't resolve at the moment, until uv can resolve it.",
    attrs = {
        "lock": attr.label(doc = "The lock.", mandatory = True),
        "settings": attr.string(doc = "Settings of the package hub, as a JSON string.", mandatory = True),
        "where": attr.string(doc = "The tag, for error messages.", mandatory = True),
    },
)
