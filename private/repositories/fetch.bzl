"""Defines functions for repository rules, which fetch files by hash, determine the host platform, and run the helper.

A file comes from Bazel's repository cache, or from an index in the tag or in uv's configuration. uv determines the URL,
the proxy, and the credentials, so no URL is stored. The hash in the lock verifies the file. pip fetches uv
itself."""

load("@bazel_tools//tools/build_defs/repo:utils.bzl", "read_user_netrc", "use_netrc")
load("//private:indexes.bzl", "indexes_at")
load(":build_text.bzl", "without_secrets")

# Attributes that `fetch_with_uv` requires. `indexes` is a JSON string; if empty, uv uses the indexes in its
# configuration. Relative directories in it start at the root of the repository with the `lock` file.
FETCH_ATTRIBUTES = {
    "indexes": attr.string(),
    "lock": attr.label(),
    "uv": attr.label(mandatory = True),
}

def probe_cache(rctx, filename, sha256):
    """Copies a file from Bazel's repository cache to `filename`. Returns whether the cache contains the file."""

    # Without a URL, Bazel searches only the repository cache.
    return rctx.download(url = [], output = filename, sha256 = sha256, allow_fail = True).success

def interpreter(rctx):
    """Returns the path of the interpreter for repository rules, which `bento_tools.python` in MODULE.bazel selects."""
    return rctx.read(Label("@bento_python//:path"))

def mark_reproducible(rctx):
    """Returns metadata with which Bazel can cache the contents of a repository.

    Returns None in Bazel versions without such a cache.
    """
    return rctx.repo_metadata(reproducible = True) if hasattr(rctx, "repo_metadata") else None

def fetch_first(rctx, requirement, filename, sha256):
    """Fetches a wheel by hash with pip in the interpreter for repository rules, such as the wheel of uv.

    pip reads its configuration. Fails if the index in it doesn't have the file.
    """
    rctx.report_progress("fetching {}".format(filename))
    pip = json.decode(rctx.read(Label("@bento_python//:pip")))
    problem = "the lock of bento_tools.python(debian_lock = ...) doesn't contain python3-pip-whl"
    if pip:
        python, abi, platforms = filename.removesuffix(".whl").split("-")[-3:]
        command = pip + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest=download"]
        command += ["--abi", abi, "--implementation", python[:2]]
        for platform in platforms.split("."):
            command += ["--platform", platform]
        done = rctx.execute(command + ["--", requirement], environment = pip_variables(rctx.os.environ))
        staged = rctx.path("download/" + filename)
        if not done.return_code and staged.exists:
            rctx.download(url = "file://{}".format(staged), output = filename, sha256 = sha256)
            rctx.delete("download")
            return
        problem = without_secrets(done.stderr.strip()) or "unexpected file"
    fail(
        ("cannot fetch {}:\n  pip: {}\nSet the package index with UV_DEFAULT_INDEX, PIP_INDEX_URL, or index-url in " +
         "pip.conf. Without pip, set bento_tools.python(interpreter = ...) to an interpreter that includes it.").format(
            filename,
            problem,
        ),
    )

def pip_variables(environ):
    """Returns variables for pip, which doesn't read the variables of uv."""

    # `environ` is from `os`, not from `getenv`, because Bazel stores its results, and the URL might contain a password.
    variables = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    for variable in ["UV_INDEX_URL", "UV_DEFAULT_INDEX"]:
        value = environ.get(variable, "").strip()
        name, equals, address = value.partition("=")
        if value:
            variables["PIP_INDEX_URL"] = address if equals and ":" not in name else value
    return variables

def _locate(rctx, requirement, filename, sha256, python_version):
    rctx.watch(rctx.path(Label("//py:rules_bento/base/net/secret_hosts.py")))  # locate.py loads it
    done = rctx.execute([
        interpreter(rctx),
        "-I",
        "-B",
        rctx.path(Label("//toolchains/programs:locate.py")),
        rctx.path(rctx.attr.uv),
        requirement,
        filename,
        sha256,
        indexes_at(
            rctx.path(rctx.attr.lock),
            rctx.attr.lock,
            rctx.attr.indexes,
        ) if rctx.attr.lock else rctx.attr.indexes,
        python_version,
    ])
    if done.return_code:
        fail("cannot fetch {} of {} (SHA-256: {}):\n  {}".format(filename, requirement, sha256, done.stderr.strip()))
    return json.decode(done.stdout)

def _authentication(location):
    """Returns the credentials in `location` as the argument `auth` of `download`, or an empty dict.

    Bazel doesn't store the argument.
    """
    if "token" in location:
        return {location["url"]: {"password": location["token"], "pattern": "Bearer <password>", "type": "pattern"}}
    if "login" in location:
        return {location["url"]: {"login": location["login"], "password": location["password"], "type": "basic"}}
    return {}

def fetch_with_uv(rctx, requirement, filename, sha256, python_version = ""):
    """Fetches a file by hash from Bazel's repository cache or, if the cache lacks it, from an index.

    uv finds the URL or path.

    Args:
      rctx: context of a repository rule with `FETCH_ATTRIBUTES`.
      requirement: `name==version`.
      filename: name of the file and of the output file.
      sha256: SHA-256 digest of the file, in hexadecimal.
      python_version: Python version of the package hub. Default: the version of the interpreter for repository rules.
    """
    if probe_cache(rctx, filename, sha256):
        return
    rctx.report_progress("fetching {}".format(filename))
    location = _locate(rctx, requirement, filename, sha256, python_version)
    if "path" in location:
        rctx.download(url = "file://{}".format(rctx.path(location["path"])), output = filename, sha256 = sha256)
        rctx.delete("download")
    else:
        rctx.download(url = location["url"], output = filename, sha256 = sha256, auth = _authentication(location))

_OS = {"linux": "linux", "mac os x": "darwin"}
_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}

def host_platform(rctx):
    """Returns the platform of the host as `<os>_<architecture>`, such as `linux_amd64`.

    Fails on other systems than Linux and macOS.
    """
    os = _OS.get(rctx.os.name) or fail("rules_bento doesn't support {}. Build on Linux or macOS.".format(rctx.os.name))
    return "{}_{}".format(os, _ARCHITECTURES.get(rctx.os.arch, rctx.os.arch))

_HELPER = Label("//py:main.py")
_TIMEOUT_SECONDS = 6 * 60 * 60

def helper_problem(rctx, subcommand, arguments, packages = []):
    """Runs a subcommand of the helper from its sources.

    Returns its error, or None. `packages` is empty, or the result of `helper_packages`.
    """
    command = [interpreter(rctx), "-I", "-S", "-B", "-X", "utf8", rctx.path(_HELPER)] + packages + [subcommand]
    done = rctx.execute(command + arguments, timeout = _TIMEOUT_SECONDS)
    return (
        done.stderr.strip() or
        "{} ended without a message. Try again.".format(subcommand) if done.return_code else None
    )

def run_helper(rctx, where, subcommand, arguments, packages = []):
    """Runs a subcommand that uses the network.

    Fails with an error that begins with `where`, so that the next command tries again.
    """
    problem = helper_problem(rctx, subcommand, arguments, packages)
    if problem:
        fail("{}: {}".format(where, problem))

def helper_packages(rctx):
    """Returns the arguments with which the helper imports pure Python packages of `bento_tools`.

    Fetches the packages.
    """
    return ["--packages", rctx.path(Label("@bento_helper_packages//:BUILD.bazel")).dirname.get_child("site-packages")]

def accepts_secrets(url):
    """Returns whether secrets of the user can be sent to the server of `url`: over https, or to this machine."""
    host = _origin(url).partition("://")[2].rpartition("@")[2]
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    numbers = name.split(".")
    is_address = len(numbers) == 4 and not [number for number in numbers if not number.isdigit()]
    is_here = name in ["localhost", "::1"] or name.endswith(".localhost") or (is_address and numbers[0] == "127")
    return is_here or url.startswith("https://")

def netrc_token(rctx, url):
    """Returns the argument `auth` for a download of `url`, with the password of its host in netrc as a token."""
    host = _origin(url).partition("://")[2].partition(":")[0]
    entry = read_user_netrc(rctx).get(host) if accepts_secrets(url) else None  # `default` doesn't name the host
    return use_netrc({host: entry}, [url], {host: "Bearer <password>"}) if entry else {}

def _origin(address):
    """Returns the origin of a URL: scheme, host, and port."""
    return "/".join(address.split("/")[:3])
