"""What repository rules share: fetching files by their hashes, the host's platform, and the helper.

A file comes from Bazel's repository cache, or from the index that uv is configured with: no URL is stored, uv provides index, proxy, and
credentials, and the hash verifies the file. For uv itself, Bazel uses the index that uv or pip is configured with."""

load("//toolchains:indexes.bzl", "indexes_at")
load(":build_text.bzl", "without_secrets")
load(":index.bzl", "fetch_from_index")
load(":wheel_tags.bzl", "parse_wheel_name")

# Attributes of repository rules that call `fetch_with_uv`.
FETCH_ATTRIBUTES = {
    "indexes": attr.string(doc = "Indexes, as JSON; empty for uv's configuration."),
    "lock": attr.label(doc = "Lock that directories of `indexes` are relative to; empty without directories."),
    "uv": attr.label(doc = "The uv program.", mandatory = True),
}

def probe_cache(rctx, filename, sha256):
    """Writes a file of Bazel's repository cache to `filename`; returns whether the cache has it."""

    # Without a URL, Bazel searches only its cache.
    return rctx.download(url = [], output = filename, sha256 = sha256, allow_fail = True).success

def interpreter(rctx):
    """Returns the path of the interpreter of repository rules: of locked packages, of rules_python, or of the host if MODULE.bazel selects it."""
    return rctx.read(Label("@bento_python//:path"))

def mark_reproducible(rctx):
    """Returns the metadata that let Bazel cache a whole repository by its attributes; None before Bazel 8.3, which has no such cache."""
    return rctx.repo_metadata(reproducible = True) if hasattr(rctx, "repo_metadata") else None

def _fetch_with_pip(rctx, requirement, filename, sha256):
    """Fetches a file with the pip of the interpreter of repository rules; returns the error, or None."""
    pip = json.decode(rctx.read(Label("@bento_python//:pip")))
    if not pip:
        return "no pip: the lock of bento_tools.python(debian_lock = ...) lacks python3-pip-whl"
    tags = parse_wheel_name(filename)
    command = pip + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest=download"]
    for flag, values in {"--abi": tags.abis, "--implementation": [tags.pythons[0][:2]], "--platform": tags.platforms}.items():
        for value in values:
            command += [flag, value]
    rctx.report_progress("fetching {}".format(filename))
    done = rctx.execute(command + ["--", requirement], environment = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    staged = rctx.path("download/" + filename)
    if done.return_code or not staged.exists:
        return "pip: {}".format(without_secrets(done.stderr.strip()) or "unexpected file")
    rctx.download(url = "file://{}".format(staged), output = filename, sha256 = sha256)
    rctx.delete("download")
    return None

def fetch_first(rctx, name, version, filename, sha256):
    """Fetches uv itself, which fetches everything else: with Bazel from the configured index of uv or pip, or else with pip.

    Args:
      rctx: repository context.
      name: name of the package.
      version: version of the package.
      filename: name of the wheel, and of the output.
      sha256: hash of the wheel, hexadecimal.
    """
    rctx.report_progress("fetching {}".format(filename))
    problem = fetch_from_index(rctx, name, filename, sha256)
    if not problem:
        return
    pip_problem = _fetch_with_pip(rctx, "{}=={}".format(name, version), filename, sha256)
    if pip_problem:
        fail(("cannot fetch {}:\n  {}\n  {}\n" +
              "Set an index: UV_DEFAULT_INDEX or PIP_INDEX_URL in the environment, or index-url in pip.conf. Or add python3-pip-whl to the " +
              "lock of bento_tools.python(debian_lock = ...), or use an interpreter with pip: bento_tools.python(interpreter = \"python3\").").format(filename, problem, pip_problem))

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
        fail("cannot fetch {} of {} with sha256 {}:\n  {}".format(filename, requirement, sha256, done.stderr.strip()))
    return json.decode(done.stdout)

def _authentication(location):
    """Returns the headers that Bazel sends to the server and does not store."""
    if "token" in location:
        return {location["url"]: {"password": location["token"], "pattern": "Bearer <password>", "type": "pattern"}}
    if "login" in location:
        return {location["url"]: {"login": location["login"], "password": location["password"], "type": "basic"}}
    return {}

def fetch_with_uv(rctx, requirement, filename, sha256):
    """Fetches a file by its hash from the location that uv reports.

    Args:
      rctx: context of a repository rule with `FETCH_ATTRIBUTES`.
      requirement: `name==version`.
      filename: name of the file, and of the output.
      sha256: hash of the file, hexadecimal.
    """
    if probe_cache(rctx, filename, sha256):
        return
    rctx.report_progress("fetching {}".format(filename))
    location = _locate(rctx, requirement, filename, sha256)
    if "path" in location:
        rctx.download(url = "file://{}".format(rctx.path(location["path"])), output = filename, sha256 = sha256)
        rctx.delete("download")
    else:
        rctx.download(url = location["url"], output = filename, sha256 = sha256, auth = _authentication(location))

_OS = {"linux": "linux", "mac os x": "macos"}
_MACHINE = {"linux": {"amd64": "x86_64", "arm64": "aarch64"}, "macos": {"aarch64": "arm64", "x86_64": "x86_64"}}

def host_platform(rctx):
    """Returns the host's platform as in wheel tags: `<os>_<machine>`, for example `linux_x86_64`."""
    os = _OS.get(rctx.os.name) or fail("rules_bento doesn't support {}. Build on Linux or macOS.".format(rctx.os.name))
    return "{}_{}".format(os, _MACHINE[os].get(rctx.os.arch, rctx.os.arch))

_HELPER = Label("//py:main.py")
_TIMEOUT_SECONDS = 6 * 60 * 60

def run_helper(rctx, where, verb, arguments):
    """Runs a subcommand of the helper from its sources, without third-party packages, and shows its progress; errors begin with `where`."""
    done = rctx.execute([interpreter(rctx), "-I", "-S", "-B", "-X", "utf8", rctx.path(_HELPER), verb] + arguments, timeout = _TIMEOUT_SECONDS)
    if done.return_code:
        fail("{}: {}".format(where, done.stderr.strip()))
