"""Defines functions for repository rules, which fetch files by hash, determine the host platform, and run the helper.

A file comes from Bazel's repository cache, or from an index in the tag or in uv's configuration. uv determines the URL,
the proxy, and the credentials, so no URL is stored. The hash in the lock verifies the file. uv itself comes from the
index in the configuration of uv or pip."""

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

def _fetch_with_pip(rctx, requirement, filename, sha256):
    """Fetches a file with pip in the interpreter for repository rules. Returns the error, or None."""
    pip = json.decode(rctx.read(Label("@bento_python//:pip")))
    if not pip:
        return "no pip: the lock of bento_tools.python(debian_lock = ...) doesn't contain python3-pip-whl"
    python, abi, platforms = filename.removesuffix(".whl").split("-")[-3:]
    command = pip + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest=download"]
    for flag, values in {
        "--abi": [abi],
        "--implementation": [python[:2]],
        "--platform": platforms.split("."),
    }.items():
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
    """Fetches the wheel of uv from the index in the configuration of uv or pip or, if that fails, with pip.

    Fails if neither succeeds.
    """
    rctx.report_progress("fetching {}".format(filename))
    problem = _fetch_from_index(rctx, name, filename, sha256)
    if not problem:
        return
    pip_problem = _fetch_with_pip(rctx, "{}=={}".format(name, version), filename, sha256)
    if pip_problem:
        fail(
            ("cannot fetch {}:\n  {}\n  {}\nSet the package index with UV_DEFAULT_INDEX, PIP_INDEX_URL, or " +
             "index-url in pip.conf. Alternatively, set bento_tools.python(interpreter = ...) to an interpreter " +
             "that includes pip.").format(filename, problem, pip_problem),
        )

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

_VARIABLES = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"]

# Configuration files of pip.
_SYSTEM_FILES = ["/etc/pip.conf"]
_HOME_FILES = [".config/pip/pip.conf", ".pip/pip.conf"]

def _index_url(text):
    """Returns the value of `index-url` in the text of a pip.conf, or an empty string."""
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key.strip().replace("_", "-") == "index-url":
            return value.strip()
    return ""

def _configured_index(rctx):
    """Returns the URL of the package index in an environment variable or, without one, in a pip.conf.

    Returns an empty string if neither has a URL.
    """

    # The function doesn't use `getenv`, because Bazel stores its results, and the URL might contain a password.
    for variable in _VARIABLES:
        value = rctx.os.environ.get(variable, "").strip()
        name, equals, address = value.partition("=")
        if value:
            return address if equals and ":" not in name else value
    home = rctx.os.environ.get("HOME", "")
    files = [rctx.os.environ.get("PIP_CONFIG_FILE", "")] + [
        "{}/{}".format(home, file)
        for file in _HOME_FILES
        if home
    ] + _SYSTEM_FILES
    for name in files:
        if name.startswith("/") and rctx.path(name).exists:
            address = _index_url(rctx.read(name, watch = "no"))
            if address:
                return address
    return ""

def split_credentials(address):
    """Splits a URL into a struct of `address`, `login`, and `password`, which can be empty."""
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    credentials, _, host = host.rpartition("@")
    login, _, password = credentials.partition(":")
    return struct(
        address = scheme + separator + host + slash + path,
        login = _unquoted(login),
        password = _unquoted(password),
    )

def _unquoted(text):
    """Decodes percent-encoded separators, such as `%40` for `@`, in a login or password."""
    for code, letter in {
        "%21": "!",
        "%23": "#",
        "%24": "$",
        "%26": "&",
        "%2B": "+",
        "%2F": "/",
        "%3A": ":",
        "%3D": "=",
        "%3F": "?",
        "%40": "@",
    }.items():
        text = text.replace(code, letter).replace(code.lower(), letter)
    return text.replace("%25", "%")

def resolve_link(page, link):
    """Resolves a link on a page, whose URL ends with a slash, to an absolute URL (RFC 3986) without a fragment."""
    link = link.partition("#")[0].replace("&amp;", "&")
    if "://" in link:
        return link
    scheme, _, rest = page.partition("://")
    if link.startswith("//"):
        return "{}:{}".format(scheme, link)
    host, _, directory = rest.partition("/")
    if link.startswith("/"):
        return "{}://{}{}".format(scheme, host, link)
    parts = [part for part in directory.split("/") if part]
    for part in link.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "{}://{}/{}".format(scheme, host, "/".join(parts))

def find_link(text, filename):
    """Returns the link to a file on a page (HTML) of a package index, or None."""
    for quote in ("\"", "'"):
        for piece in text.split("href=" + quote)[1:]:
            link = piece.partition(quote)[0]
            if link.partition("#")[0].partition("?")[0].rpartition("/")[2] == filename:
                return link
    return None

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

def _index_credentials(rctx, index, url):
    """Returns the argument `auth` for a download of `url`.

    The credentials of `index` if both have the same origin, or credentials in netrc.
    """
    if not accepts_secrets(url):
        return {}
    if index.login and _origin(url) == _origin(index.address):
        return {url: {"login": index.login, "password": index.password, "type": "basic"}}
    return use_netrc(read_user_netrc(rctx), [url], {})

def _origin(address):
    """Returns the origin of a URL: scheme, host, and port."""
    return "/".join(address.split("/")[:3])

def _fetch_from_index(rctx, name, filename, sha256):
    """Fetches a file of a package from the index that this machine is configured with. Returns the error, or None."""
    address = _configured_index(rctx)
    if not address:
        return "this machine has no configured index"
    index = split_credentials(address)
    page = "{}/{}/".format(index.address.rstrip("/"), name)
    if not rctx.download(
        url = page,
        output = "index.html",
        auth = _index_credentials(rctx, index, page),
        allow_fail = True,
    ).success:
        return without_secrets("{} doesn't respond".format(page))
    link = find_link(rctx.read("index.html"), filename)
    rctx.delete("index.html")
    if not link:
        return without_secrets("{} has no {}".format(page, filename))
    url = resolve_link(page, link)
    if rctx.download(
        url = url,
        output = filename,
        sha256 = sha256,
        auth = _index_credentials(rctx, index, url),
        allow_fail = True,
    ).success:
        return None
    return without_secrets("{} has no file with sha256 {}".format(url, sha256))
