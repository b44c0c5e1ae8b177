"""Fetches files from a simple index (PEP 503) by Bazel alone, if the machine names one as for pip and uv."""

load("@bazel_tools//tools/build_defs/repo:utils.bzl", "read_user_netrc", "use_netrc")
load(":build_text.bzl", "without_secrets")

_VARIABLES = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"]

# Where pip has its settings; tools/bazel has the host's /etc at /boot.
_SYSTEM_FILES = ["/etc/pip.conf", "/boot/pip.conf"]
_HOME_FILES = [".config/pip/pip.conf", ".pip/pip.conf"]

def _of_settings(text):
    """Returns the `index-url` of a pip.conf, or an empty text."""
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key.strip().replace("_", "-") == "index-url":
            return value.strip()
    return ""

def _address(rctx):
    """Returns the address of the index that the machine names; empty for none."""

    # Not by `getenv`: Bazel records what that returns, and an address may have a password.
    for variable in _VARIABLES:
        value = rctx.os.environ.get(variable, "").strip()
        name, equals, address = value.partition("=")
        if value:
            return address if equals and ":" not in name else value
    home = rctx.os.environ.get("HOME", "")
    files = [rctx.os.environ.get("PIP_CONFIG_FILE", "")] + ["{}/{}".format(home, file) for file in _HOME_FILES if home] + _SYSTEM_FILES
    for name in files:
        if name.startswith("/") and rctx.path(name).exists:
            address = _of_settings(rctx.read(name, watch = "no"))
            if address:
                return address
    return ""

def split_credentials(address):
    """Splits login and password off an address.

    Args:
      address: with or without `login:password@`.

    Returns:
      A struct of address, login and password; the latter two are empty for none.
    """
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    credentials, _, host = host.rpartition("@")
    login, _, password = credentials.partition(":")
    return struct(address = scheme + separator + host + slash + path, login = _unquoted(login), password = _unquoted(password))

def _unquoted(text):
    """Decodes percent signs of a login: those before codes of characters that separate an address's parts."""
    for code, letter in {"%21": "!", "%23": "#", "%24": "$", "%26": "&", "%2B": "+", "%2F": "/", "%3A": ":", "%3D": "=", "%3F": "?", "%40": "@"}.items():
        text = text.replace(code, letter).replace(code.lower(), letter)
    return text.replace("%25", "%")

def resolve_link(page, link):
    """Resolves a link (RFC 3986).

    Args:
      page: the address of the page that has it, which ends in a slash.
      link: what stands there.

    Returns:
      An address, without a fragment.
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
      filename: of the file.

    Returns:
      The link as it stands there, or None.
    """
    for quote in ("\"", "'"):
        for piece in text.split("href=" + quote)[1:]:
            link = piece.partition(quote)[0]
            if link.partition("#")[0].partition("?")[0].rpartition("/")[2] == filename:
                return link
    return None

def _authentication(rctx, index, url):
    """Returns the credentials for a server: those in the address, on the index's own host, else netrc's."""
    if index.login and _origin(url) == _origin(index.address):
        return {url: {"login": index.login, "password": index.password, "type": "basic"}}
    return use_netrc(read_user_netrc(rctx), [url], {})

def _origin(address):
    """Returns scheme, host and port of an address."""
    return "/".join(address.split("/")[:3])

def fetch_from_index(rctx, name, filename, sha256):
    """Brings a file of a package from the index that the machine names.

    Args:
      rctx: the repository context.
      name: normalized name of the package.
      filename: the file, and where to put it.
      sha256: its hash, hexadecimal.

    Returns:
      None, or what hindered it.
    """
    address = _address(rctx)
    if not address:
        return "no index is named"
    index = split_credentials(address)
    page = "{}/{}/".format(index.address.rstrip("/"), name)
    if not rctx.download(url = page, output = "index.html", auth = _authentication(rctx, index, page), allow_fail = True).success:
        return without_secrets("{} does not answer".format(page))
    link = find_link(rctx.read("index.html"), filename)
    rctx.delete("index.html")
    if not link:
        return without_secrets("{} has no {}".format(page, filename))
    url = resolve_link(page, link)
    if rctx.download(url = url, output = filename, sha256 = sha256, auth = _authentication(rctx, index, url), allow_fail = True).success:
        return None
    return without_secrets("{} gives no file with sha256 {}".format(url, sha256))
