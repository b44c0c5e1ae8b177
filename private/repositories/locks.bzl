"""Reads locks in all supported formats, and converts them to the format of rules_bento (see py/rules_bento/packages/lock.py)."""

load("//private:indexes.bzl", "encode_indexes", "explicit_indexes", "indexes_at")
load(":lock_shapes.bzl", "LOCK", "matches", "shape_problem")

_FORMAT = 1
_INTERPRETER_FLAGS = ["-I", "-S", "-B", "-X", "utf8"]

def _is_normal_form(label):
    """Returns whether a lock, by its suffix, has the format of rules_bento, which Starlark can decode."""
    return label.name.endswith(".json")

def requires_network(label):
    """Returns whether a lock, by its name, lacks dependencies between packages, which uv then gets from the index."""
    return not _is_normal_form(label) and label.name.rpartition("/")[2] != "uv.lock"

def _child(mctx, repository_label, name):
    """Returns the path of a file in a repository. `repository_label` is a BUILD file with the same content on all machines.

    Bazel stores the digests of files that the extension reads by label in MODULE.bazel.lock."""
    return mctx.path(repository_label).dirname.get_child(name)

def _normalize(mctx, label, tag):
    """Returns a struct of the converted lock as `text`, and `problem`, an error message or None. Fails if a lock that requires uv can't be read."""
    python = mctx.read(_child(mctx, Label("@bento_python//:BUILD.bazel"), "path"), watch = "no")
    version = tag.python_version or mctx.read(Label("@bento_python//:version"))
    mctx.report_progress("reading {}".format(label))
    command = [python] + _INTERPRETER_FLAGS + [
        mctx.path(Label("//py:main.py")),
        "--packages",
        _child(mctx, Label("@bento_helper_packages//:BUILD.bazel"), "site-packages"),
        "normalize_lock",
        "--lock",
        mctx.path(label),
        "--uv",
        _child(mctx, Label("@bento_uv//:BUILD.bazel"), "uv"),
        "--python-version",
        ".".join(version.split(".")[:2]),
        "--output",
        mctx.path("lock.json"),
    ]
    for flag, names in {"--extra": tag.extras, "--group": tag.groups, "--member": tag.members}.items():
        for name in names:
            command += [flag, name]
    indexes = encode_indexes(tag)
    if indexes:
        command += ["--indexes", indexes_at(mctx.path(label), label, indexes) if tag.find_links else indexes]
    done = mctx.execute(command, timeout = 600)
    problem = (done.stderr.strip() or "{}: the program that reads the lock ended without a message. Try again.".format(label)) if done.return_code else None
    if problem and requires_network(label):
        # Bazel stores the result of the extension, but the network might be available later.
        fail("\nbento.pypi(name = \"{}\"): {}".format(tag.name, problem))
    return struct(problem = problem, text = None if problem else mctx.read("lock.json"))

def absence_of_lock(mctx, label):
    """Returns the error message for a lock that is missing or empty, or None. Locks of other modules always exist."""
    if label.workspace_root:
        return None
    lock = mctx.path(label)
    mctx.watch(lock)
    if lock.exists and not (_is_normal_form(label) and mctx.read(lock).strip() == ""):
        return None
    text = str(label).removeprefix("@@").removeprefix("@")
    how = "`bazel run` the bento_requirements target that writes the lock" if _is_normal_form(label) else "Lock, for example with `uv pip compile --universal --generate-hashes`, and save the result in this file"
    return "the lock {} doesn't exist. {}.".format(text, how)

def read_lock(mctx, label, tag):
    """Returns a struct of the decoded `lock` and `problem`, an error or None, which only targets with its packages report."""
    read = struct(problem = None, text = mctx.read(label)) if _is_normal_form(label) else _normalize(mctx, label, tag)
    lock = json.decode(read.text, default = None) if read.text else None
    problem = read.problem
    if not problem and (type(lock) != "dict" or lock.get("lock") != _FORMAT):
        problem = "{} isn't a rules_bento lock in format {}. Generate the lock with a bento_requirements target.".format(label, _FORMAT)
    elif not problem and shape_problem(lock, LOCK):
        problem = "{}: {}. Restore the committed file, or empty the file and run the bento_requirements target with `bazel run`.".format(label, shape_problem(lock, LOCK))
    if problem:
        return struct(lock = None, problem = problem)
    return struct(lock = with_pages(lock, tag) if tag and _is_normal_form(label) else lock, problem = None)

def with_pages(lock, tag):
    """Adds the field `page` to entries of packages in explicit indexes, whose URLs only the tag has. Fails for a URL with secrets."""
    explicit = explicit_indexes(tag.explicit)
    urls = {name: url for name, _, url in [entry.partition("=") for entry in tag.indexes] if url.startswith(("http:", "https:"))}
    packages = []
    for package in lock["packages"]:
        index = explicit.get(package["name"])
        if index in urls and "source" not in package:
            page = "{}/{}/".format(urls[index].rstrip("/"), package["name"])
            if not matches("page", page):
                fail("bento.pypi(name = \"{}\"): indexes: the URL of {} has credentials, a query, or invalid characters. Remove them from the URL. For credentials, use netrc, or UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD.".format(tag.name, index))
            package = package | {"page": page}
        packages.append(package)
    return lock | {"packages": packages}
