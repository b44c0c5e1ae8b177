"""Files by hash: from Bazel's repository cache where they are, else from the index that the client is set up for.

No address is written down anywhere: `uv`, or `pip` for uv itself, knows the index, the proxy and the credentials
of its user, and the hash says whether the right file came.
"""

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

def _url_of(pylock, sha256):
    """The address that stands beside a hash in a pylock.toml (PEP 751), or None."""
    at = pylock.find(sha256)
    start = pylock.rfind("url = \"", 0, at) if at >= 0 else -1
    if start < 0:
        return None
    start += len("url = \"")
    return pylock[start:pylock.find("\"", start)]

def _resolve_address(rctx, uv, requirement, sha256):
    rctx.file("wanted.in", requirement + "\n")
    problem = ""

    # What uv remembers is enough where it has seen the release before.
    for offline in [["--offline"], []]:
        done = rctx.execute(
            [uv, "pip", "compile", "--quiet", "--no-deps", "--universal", "--no-header", "--format=pylock.toml", "--python", host_python(rctx)] +
            offline + ["wanted.in"],
        )
        url = _url_of(done.stdout, sha256) if done.return_code == 0 else None
        if url:
            return url
        problem = done.stderr.strip() or "the index has no file of this hash"
    return fail("cannot find {} with sha256 {}: {}".format(requirement, sha256, problem))

def fetch_with_uv(rctx, uv, requirement, filename, sha256):
    """Brings a file by its hash from where uv finds it.

    Args:
      rctx: the repository context.
      uv: path of uv.
      requirement: `name==version`.
      filename: where to put it, in the repository.
      sha256: its hash, hexadecimal.
    """
    if probe_cache(rctx, filename, sha256):
        return
    rctx.report_progress("fetching {}".format(filename))
    rctx.download(url = _resolve_address(rctx, uv, requirement, sha256), output = filename, sha256 = sha256)
    rctx.delete("wanted.in")
