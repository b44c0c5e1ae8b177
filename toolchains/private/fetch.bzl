"""Files by hash: from Bazel's repository cache where they are, else from the index that the client is set up for.

No address is written down anywhere: `uv`, or `pip` for uv itself, knows the index, the proxy and the credentials
of its user, and the hash says whether the right file came.
"""

load("//toolchains:indexes.bzl", "indexes_at")

# What `fetch_with_uv` asks of a repository rule.
FETCH_ATTRIBUTES = {
    "indexes": attr.string(doc = "Where to look, as JSON; empty for what uv is set up for."),
    "lock": attr.label(doc = "The lock that folders of `indexes` are relative to; none where it names none."),
    "uv": attr.label(doc = "The client that knows the index.", mandatory = True),
}

def probe_cache(rctx, filename, sha256):
    """Takes a file from the repository cache.

    Args:
      rctx: the repository context.
      filename: where to put it, in the repository.
      sha256: its hash, hexadecimal.

    Returns:
      Whether the cache had it.
    """

    # Without an address, Bazel looks in its cache and nowhere else.
    return rctx.download(url = [], output = filename, sha256 = sha256, allow_fail = True).success

def host_python(rctx):
    """Finds the Python of the host that bootstraps the rest.

    Args:
      rctx: the repository context.

    Returns:
      A path.
    """
    python = rctx.which("python3") or rctx.which("python")
    if not python:
        fail("rules_bento needs a python3 on PATH to fetch its tools; install Python 3.10 or newer")
    return python

def fetch_with_pip(rctx, requirement, filename, sha256):
    """Brings a file of the index by `pip download` and leaves it in the repository cache too.

    Args:
      rctx: the repository context.
      requirement: `name==version`.
      filename: the file that is wanted, and where to put it.
      sha256: its hash, hexadecimal.
    """
    arguments = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest=download", requirement]
    commands = [[host_python(rctx), "-m", "pip"]]
    uv = rctx.which("uv")
    if uv:
        commands.append([uv, "tool", "run", "pip"])
    problems = []
    for command in commands:
        rctx.report_progress("fetching {}".format(filename))
        done = rctx.execute(command + arguments, environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        staged = rctx.path("download/" + filename)
        if done.return_code == 0 and staged.exists:
            rctx.download(url = "file://{}".format(staged), output = filename, sha256 = sha256)
            rctx.delete("download")
            return
        problems.append("{}: {}".format(" ".join([str(c) for c in command]), done.stderr.strip() or "it brought another file"))
    fail("cannot fetch {}; pip has to reach an index that has it:\n  {}".format(filename, "\n  ".join(problems)))

def _indexes(rctx):
    if not rctx.attr.lock:
        return rctx.attr.indexes
    return indexes_at(rctx.path(rctx.attr.lock), rctx.attr.lock, rctx.attr.indexes)

def _locate(rctx, requirement, filename, sha256):
    done = rctx.execute([
        host_python(rctx),
        "-I",
        "-B",
        rctx.path(Label("//toolchains/private:locate.py")),
        rctx.path(rctx.attr.uv),
        requirement,
        filename,
        sha256,
        _indexes(rctx),
    ])
    if done.return_code:
        fail("cannot find {} of {} with sha256 {}:\n  {}".format(filename, requirement, sha256, done.stderr.strip()))
    return json.decode(done.stdout)

def _authentication(found):
    """What Bazel sends to the server; it keeps none of it."""
    if "token" in found:
        return {found["url"]: {"password": found["token"], "pattern": "Bearer <password>", "type": "pattern"}}
    if "login" in found:
        return {found["url"]: {"login": found["login"], "password": found["password"], "type": "basic"}}
    return {}

def fetch_with_uv(rctx, requirement, filename, sha256):
    """Brings a file by its hash from where uv finds it.

    Args:
      rctx: the context of a repository rule with `FETCH_ATTRIBUTES`.
      requirement: `name==version`.
      filename: where to put it, in the repository.
      sha256: its hash, hexadecimal.
    """
    if probe_cache(rctx, filename, sha256):
        return
    rctx.report_progress("fetching {}".format(filename))
    found = _locate(rctx, requirement, filename, sha256)
    if "path" in found:
        rctx.download(url = "file://{}".format(rctx.path(found["path"])), output = filename, sha256 = sha256)
        rctx.delete("download")
    else:
        rctx.download(url = found["url"], output = filename, sha256 = sha256, auth = _authentication(found))
