"""Starts uv. Only this module determines uv's program, environment, settings, cache, and errors.

A test finds any other start of uv in py/. Exceptions are a program in the isolation of builds, and repository
rules, which have no packages.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.net.secret_hosts import SECRET_VARIABLE, accepts_secrets, variables_for_addresses, without_secrets
from rules_bento.base.net.urls import Origin
from rules_bento.base.programs import which
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence, cast
from rules_bento.bentos.packages.indexes import Indexes, split_index

if TYPE_CHECKING:
    import io

# The environment variables that uv receives, and the prefixes of further names. Secrets of other programs don't belong
# to them, because a package index is a server of the author of a Bento or a project.
_SYSTEM_VARIABLES = {
    *("HOME", "LANG", "LC_ALL", "NETRC", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "SSL_CLIENT_CERT", "TMPDIR"),
    *("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "DBUS_SESSION_BUS_ADDRESS", "USER"),
}
_PREFIXES = ("XDG_", "PYTHON_KEYRING_", "UV_INDEX_", "UV_HTTP_", "UV_CONCURRENT_")
_SETTINGS = {
    *("UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_CREDENTIALS_DIR", "UV_DEFAULT_INDEX", "UV_EXCLUDE_NEWER", "UV_NATIVE_TLS"),
    *("UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_FORK_STRATEGY", "UV_INDEX", "UV_INSECURE_HOST", "UV_PRERELEASE"),
    *("UV_KEYRING_PROVIDER", "UV_LINK_MODE", "UV_NO_CACHE", "UV_NO_CONFIG", "UV_NO_INDEX", "UV_NO_PROGRESS"),
    *("UV_OFFLINE", "UV_REQUEST_TIMEOUT", "UV_RESOLUTION", "UV_SYSTEM_CERTS", "UV_TORCH_BACKEND"),
}
# uv's message for an unknown certificate authority, and its flag to trust the system's certificates, as pip does.
_UNTRUSTED_CERTIFICATE, _SYSTEM_CERTIFICATES = "UnknownIssuer", "--system-certs"
# uv's warning if it ignores all settings of a project, because one of them is invalid.
_IGNORED_SETTINGS = "during settings discovery"


def find_uv(path: str | None = None) -> str | None:
    """Return the path of uv in the environment of this interpreter, otherwise on PATH, or None."""
    return which("uv", sys.executable.rpartition("/")[0]) or which("uv", path)


def require_uv(purpose: str) -> str:
    """Return the path of uv. Raises BentoError, with the purpose such as `reads the lock`, if uv isn't installed."""
    if uv := find_uv():
        return uv
    raise BentoError(f"uv, which {purpose}, isn't installed", remedy="Install uv, for example with `pip install uv`.")


def run(command: Sequence[str], variables: Mapping[str, str], directory: Path | None = None) -> tuple[int, str]:
    """Run uv in `directory`, and return the exit status and the error output, which is also printed.

    Retries with the system's certificates if necessary.
    """
    output = ""
    for extra_flags in ([], [_SYSTEM_CERTIFICATES]):
        errors, rest, held = b"", b"", b""
        with subprocess.Popen([*command, *extra_flags], cwd=directory, env=variables, stderr=subprocess.PIPE) as uv:
            stream = cast("io.BufferedReader", uv.stderr)
            while chunk := stream.read1(1 << 16):
                # An address might contain a secret, so only complete lines are redacted and printed.
                shown, end, rest = (rest + chunk).rpartition(b"\n")
                held += shown + end
                if not re.search(rb"(?m)^(error:|  \xc3\x97)", held):  # an error can be one that the retry solves
                    _print(held)
                    held = b""
                errors = (errors + chunk)[-(1 << 16) :]
        output = errors.decode(errors="replace")
        if not extra_flags and uv.returncode and _UNTRUSTED_CERTIFICATE in output:
            continue
        _print(held + rest)
        return uv.returncode, output
    raise AssertionError  # the second attempt returns


def start(
    command: Sequence[str],
    variables: Mapping[str, str] | None = None,
    directory: Path | str | None = None,
    text: str | None = None,
    seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run uv once, without a retry, and return its result. `text` is the standard input.

    Raises BentoError if uv can't be run, or doesn't end within `seconds`.
    """
    try:
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            cwd=directory,
            env=variables,
            input=text,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise BentoError(f"{command[0]} failed: no result after {seconds:g} seconds. Check the network.") from None
    except OSError as error:
        remedy = "Install uv again, for example with `pip install uv`."
        raise BentoError(f"cannot run {command[0]}: {error.strerror}", remedy=remedy) from None


def output(
    command: Sequence[str],
    directory: Path | None = None,
    text: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Return the output of uv with the standard input `text`. By default, uv gets no credentials.

    Runs uv with its cache, then with the indexes, and then with the system's certificates, until uv succeeds, and uses
    the project's settings. Raises BentoError with the error output of uv.
    """
    variables = without_secrets(variables_of_user()) if variables is None else variables
    for flag in ("--offline", "", _SYSTEM_CERTIFICATES):
        done = start([*command, *filter(None, [flag])], variables, directory, text)
        if done.returncode == 0 and not ignores_settings(done.stderr):
            return done.stdout
        if not flag and _UNTRUSTED_CERTIFICATE not in done.stderr:
            break
    raise BentoError(done.stderr.strip())


def ignores_settings(errors: str) -> bool:
    """Return whether uv ignored the settings of a project, because one of them is invalid."""
    return _IGNORED_SETTINGS in errors


def _print(text: bytes) -> None:
    sys.stderr.write(without_credentials(text.decode(errors="replace")))
    sys.stderr.flush()


def variables_of_user(indexes: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the environment variables for uv if a project chooses `indexes`, which are names and addresses.

    The variables are the user's settings. A password for a name is included only if the user also gives the address of
    the name, in the environment or in a uv.toml file outside of projects, and `indexes` give it no other. netrc logins
    are for hosts, except for the entry `default`.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _SYSTEM_VARIABLES or name.startswith(_PREFIXES) or name in _SETTINGS
    }
    chosen = [_comparable(*index) for index in indexes]
    known = [_comparable(*index) for index in _indexes_of_user()] if chosen else []
    for name in [*kept]:
        secret = SECRET_VARIABLE.fullmatch(name)
        if secret and any(index[0] == secret[1] and index not in known for index in chosen):
            del kept[name]
    path = Path(kept.get("NETRC") or Path("~/.netrc").expanduser())
    if chosen and path.is_file() and re.search(r"(^|\s)default(\s|$)", path.read_text("utf-8", errors="replace")):
        kept["NETRC"] = os.devnull
    return kept


def login_of_index(url: str) -> tuple[str, str]:
    """Return the user and password for a file on the server of an index that the user declares outside of projects.

    Both are in the index's address, or in the variables of the index's name. Missing values are "".
    """
    origin = Origin.from_url(url)
    for name, address in _indexes_of_user():
        if address.startswith(("http:", "https:")) and Origin.from_url(address) == origin:
            parts, variable = urlsplit(address), f"UV_INDEX_{_variable_name(name)}"
            user = os.environ.get(f"{variable}_USERNAME") or unquote(parts.username or "")
            password = os.environ.get(f"{variable}_PASSWORD") or unquote(parts.password or "")
            if (user or password) and accepts_secrets(origin.scheme, origin.host):
                return user, password
    return "", ""


def login_remedy(errors: str, indexes: Iterable[tuple[str, str]]) -> str:
    """Return the advice if an index that a project chooses requires a login, or an empty string."""
    if not re.search(r"\b40[13]\b", errors):
        return ""
    remedy = "Add the login for the host of the index to ~/.netrc."
    for name, address in indexes:
        if name:
            variable = f"UV_INDEX_{_variable_name(name)}"
            remedy += f" Or set UV_INDEX={name}={address}, {variable}_USERNAME, and {variable}_PASSWORD."
    return remedy


def _variable_name(index: str) -> str:
    return re.sub("[^A-Z0-9]", "_", index.upper())


def _comparable(name: str, address: str) -> tuple[str, str]:
    """Return the name of an index as in variables, and its address without a login."""
    return _variable_name(name), re.sub("//[^/@]*@", "//", address).rstrip("/")


def _indexes_of_user() -> Iterator[tuple[str, str]]:
    """Yield names and addresses, which can contain logins, of indexes that the user declares outside of projects."""
    for variable in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL"):
        for entry in os.environ.get(variable, "").split():
            yield split_index(entry)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    for path in (Path(os.environ.get("UV_CONFIG_FILE") or home / "uv/uv.toml"), Path("/etc/uv/uv.toml")):
        document: Any = read_toml(read_file(path), str(path)) if path.is_file() else {}
        for index in document.get("index", ()):
            yield str(index.get("name", "")), str(index.get("url", ""))


def variables_for(indexes: Indexes, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for programs that use the indexes (see `variables_for_addresses`)."""
    addresses = (indexes.default, *indexes.extra, *indexes.find_links)
    return variables_for_addresses(addresses, indexes.trusted_hosts, variables)
