"""Files by hash: from Bazel's repository cache where they are, else from the index that the client is set up for.

No address is written down anywhere: uv knows the index, the proxy and the credentials of its user, and the hash says
whether the right file came. For uv itself Bazel looks where uv and pip would.
"""

load("//toolchains:indexes.bzl", "indexes_at")
load(":build_text.bzl", "without_secrets")
load(":index.bzl", "fetch_from_index")
load(":wheel_tags.bzl", "parse_wheel_name")

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

def interpreter(rctx):
    """Names the interpreter that repository rules run: of locked packages or of rules_python, or the host's if MODULE.bazel says so.

    Args:
      rctx: the repository context.

    Returns:
      A path.
    """
    return rctx.read(Label("@bento_python//:path"))

def mark_reproducible(rctx):
    """Tells Bazel's cache of whole repositories that the files of one follow from its attributes.

    Args:
      rctx: the repository context.

    Returns:
      The metadata; None where Bazel has no such cache (before 8.3).
    """
    return rctx.repo_metadata(reproducible = True) if hasattr(rctx, "repo_metadata") else None

def _fetch_with_pip(rctx, requirement, filename, sha256):
    """Brings a file by the pip of the interpreter that repository rules run; returns the error, or None."""
    pip = json.decode(rctx.read(Label("@bento_python//:pip")))
    if not pip:
        return "no pip: the lock of bento_tools.python(debian_lock = ...) has no python3-pip-whl"
    tags = parse_wheel_name(filename)
    command = pip + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest=download"]
    for flag, values in {"--abi": tags.abis, "--implementation": [tags.pythons[0][:2]], "--platform": tags.platforms}.items():
        for value in values:
            command += [flag, value]
    rctx.report_progress("fetching {}".format(filename))
    done = rctx.execute(command + ["--", requirement], environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    staged = rctx.path("download/" + filename)
    if done.return_code or not staged.exists:
        return "pip: {}".format(without_secrets(done.stderr.strip()) or "it brought another file")
    rctx.download(url = "file://{}".format(staged), output = filename, sha256 = sha256)
    rctx.delete("download")
    return None

def fetch_first(rctx, name, version, filename, sha256):
    """Brings uv itself, which finds everything else: by Bazel from an index that the machine names, else by pip.

    Args:
      rctx: the repository context.
      name: of the package.
      version: of it.
      filename: the wheel that is wanted, and where to put it.
      sha256: its hash, hexadecimal.
    """
    rctx.report_progress("fetching {}".format(filename))
    problem = fetch_from_index(rctx, name, filename, sha256)
    if not problem:
        return
    by_pip = _fetch_with_pip(rctx, "{}=={}".format(name, version), filename, sha256)
    if by_pip:
        fail(("cannot fetch {}:\n  {}\n  {}\n" +
              "Name an index, by UV_DEFAULT_INDEX or PIP_INDEX_URL in the environment or index-url in pip.conf; or add python3-pip-whl to the " +
              "packages that bento_tools.python(debian_lock = ...) locks; or name an interpreter that has pip, bento_tools.python(interpreter = \"python3\").").format(filename, problem, by_pip))

def _indexes(rctx):
    if not rctx.attr.lock:
        return rctx.attr.indexes
    return indexes_at(rctx.path(rctx.attr.lock), rctx.attr.lock, rctx.attr.indexes)

def _locate(rctx, requirement, filename, sha256):
    done = rctx.execute([
        interpreter(rctx),
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

def _authentication(place):
    """Returns the headers that Bazel sends to the server and does not keep."""
    if "token" in place:
        return {place["url"]: {"password": place["token"], "pattern": "Bearer <password>", "type": "pattern"}}
    if "login" in place:
        return {place["url"]: {"login": place["login"], "password": place["password"], "type": "basic"}}
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
    place = _locate(rctx, requirement, filename, sha256)
    if "path" in place:
        rctx.download(url = "file://{}".format(rctx.path(place["path"])), output = filename, sha256 = sha256)
        rctx.delete("download")
    else:
        rctx.download(url = place["url"], output = filename, sha256 = sha256, auth = _authentication(place))

_OS = {"linux": "linux", "mac os x": "macos"}
_MACHINE = {"linux": {"amd64": "x86_64", "arm64": "aarch64"}, "macos": {"aarch64": "arm64", "x86_64": "x86_64"}}

def host_platform(rctx):
    """Names the host as wheels do.

    Args:
      rctx: a repository or module context.

    Returns:
      `<os>_<machine>`, for example `linux_x86_64`.
    """
    os = _OS.get(rctx.os.name)
    if not os:
        fail("rules_bento runs on Linux and macOS, not on {}".format(rctx.os.name))
    return "{}_{}".format(os, _MACHINE[os].get(rctx.os.arch, rctx.os.arch))

_HELPER = Label("//py:main.py")
_SECONDS = 6 * 60 * 60

def run_helper(rctx, place, verb, arguments):
    """Runs a verb of the helper. What the verb reports of its progress is seen.

    Args:
      rctx: the repository context.
      place: what an error begins with.
      verb: a module of `py/rules_bento/actions`.
      arguments: list of flags and values.
    """
    command = [interpreter(rctx), "-I", "-S", "-B", "-X", "utf8", rctx.path(_HELPER), verb]
    done = rctx.execute(command + arguments, timeout = _SECONDS)
    if done.return_code:
        fail("{}: {}".format(place, done.stderr.strip()))
