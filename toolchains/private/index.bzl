"""Fetches files from a simple index (PEP 503) with Bazel only, if the machine has a configured index for pip or uv."""

load("@bazel_tools//tools/build_defs/repo:utils.bzl", "read_user_netrc", "use_netrc")
load(":build_text.bzl", "without_secrets")

_VARIABLES = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"]

# Configuration files of pip. In tools/bazel, the host's /etc is at /boot.
_SYSTEM_FILES = ["/etc/pip.conf", "/boot/pip.conf"]
_HOME_FILES = [".config/pip/pip.conf", ".pip/pip.conf"]

def _index_url(text):
    """Returns the `index-url` of a pip.conf, or an empty string."""
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key.strip().replace("_", "-") == "index-url":
            return value.strip()
    return ""

def _configured_index(rctx):
    """Returns the URL of the configured index of this machine; empty without one."""

    # Not with `getenv`: Bazel records its results, and a URL might have a password.
    for variable in _VARIABLES:
        value = rctx.os.environ.get(variable, "").strip()
        name, equals, address = value.partition("=")
        if value:
            return address if equals and ":" not in name else value
    home = rctx.os.environ.get("HOME", "")
    files = [rctx.os.environ.get("PIP_CONFIG_FILE", "")] + ["{}/{}".format(home, file) for file in _HOME_FILES if home] + _SYSTEM_FILES
    for name in files:
        if name.startswith("/") and rctx.path(name).exists:
            address = _index_url(rctx.read(name, watch = "no"))
            if address:
                return address
    return ""

def split_credentials(address):
    """Splits a URL into a struct of address, login, and password; the latter two can be empty.

    Args:
      address: a URL, with or without `login:password@`.

    Returns:
      A struct.
    """
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    credentials, _, host = host.rpartition("@")
    login, _, password = credentials.partition(":")
    return struct(address = scheme + separator + host + slash + path, login = _unquoted(login), password = _unquoted(password))

def _unquoted(text):
    """Decodes the percent-encoded characters of a login that separate the parts of a URL."""
    for code, letter in {"%21": "!", "%23": "#", "%24": "$", "%26": "&", "%2B": "+", "%2F": "/", "%3A": ":", "%3D": "=", "%3F": "?", "%40": "@"}.items():
        text = text.replace(code, letter).replace(code.lower(), letter)
    return text.replace("%25", "%")

def resolve_link(page, link):
    """Resolves a link (RFC 3986).

    Args:
      page: URL of the page with the link, which ends in a slash.
      link: the link.

    Returns:
      A URL without a fragment.
    """
    link = link.partition("#")[0].replace("&amp;", "&")
    if "://" in link:
        return link
    scheme, _, rest = page.partition("://")
    if link.startswith("//"):
        return "{}:{}".format(scheme, link)
    host, _, folder = rest.partition("/")
    if link.startswith("/"):
        return "{}://{}{}".format(scheme, host, link)
    parts = [part for part in folder.split("/") if part]
    for part in link.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "{}://{}/{}".format(scheme, host, "/".join(parts))

def find_link(text, filename):
    """Finds the link to a file on a page of an index.

    Args:
      text: the page, HTML.
      filename: name of the file.

    Returns:
      The link, or None.
    """
    for quote in ("\"", "'"):
        for piece in text.split("href=" + quote)[1:]:
            link = piece.partition(quote)[0]
            if link.partition("#")[0].partition("?")[0].rpartition("/")[2] == filename:
                return link
    return None

def _authentication(rctx, index, url):
    """Returns the credentials for a server: from the index's URL on the same host, or else from netrc."""
    if index.login and _origin(url) == _origin(index.address):
        return {url: {"login": index.login, "password": index.password, "type": "basic"}}
    return use_netrc(read_user_netrc(rctx), [url], {})

def _origin(address):
    """Returns scheme, host, and port of a URL."""
    return "/".join(address.split("/")[:3])

def fetch_from_index(rctx, name, filename, sha256):
    """Fetches a file of a package from the configured index of this machine.

    Args:
      rctx: repository context.
      name: normalized name of the package.
      filename: name of the file, and of the output.
      sha256: hash of the file, hexadecimal.

    Returns:
      The error, or None.
    """
    address = _configured_index(rctx)
    if not address:
        return "this machine has no configured index"
    index = split_credentials(address)
    page = "{}/{}/".format(index.address.rstrip("/"), name)
    if not rctx.download(url = page, output = "index.html", auth = _authentication(rctx, index, page), allow_fail = True).success:
        return without_secrets("{} doesn't respond".format(page))
    link = find_link(rctx.read("index.html"), filename)
    rctx.delete("index.html")
    if not link:
        return without_secrets("{} has no {}".format(page, filename))
    url = resolve_link(page, link)
    if rctx.download(url = url, output = filename, sha256 = sha256, auth = _authentication(rctx, index, url), allow_fail = True).success:
        return None
    return without_secrets("{} has no file with sha256 {}".format(url, sha256))
