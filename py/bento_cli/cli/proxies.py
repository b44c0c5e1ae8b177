"""What variables of proxies mean to Bazel, uv and the command, which read them differently, for `bento doctor`."""

from __future__ import annotations

import re
import socket

from rules_bento.net.transport import display_url

from bento_cli.cli.findings import FINE, HINT, MISSING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_SECONDS = 5  # that a proxy has to take a connection
# Of `host:port` alone and of https Bazel and uv know what to do; the command takes no other proxies than http.
_LABEL = r"[A-Za-z0-9_-]{1,63}"  # of a host's name, between points
_BAZELS = re.compile(rf"(?:(https?)://)?(?:[^:@/]+(?::[^@/]+)?@)?({_LABEL}(?:\.{_LABEL})*\.?)(?::([0-9]{{1,5}}))?/?")


def proxies(variables: Mapping[str, str], *, online: bool) -> list[Finding]:
    """Judge each variable; `online` says whether to knock at the proxies that they name."""
    return list(_findings(variables, online=online)) or [_summary(variables)]


def _summary(variables: Mapping[str, str]) -> Finding:
    named = [name for name in _NAMES if _value(variables, name)]
    text = ", ".join(f"{name} is {_shown(_value(variables, name))}" for name in named)
    return Finding("proxy", FINE, text or "none is set")


def _findings(variables: Mapping[str, str], *, online: bool) -> Iterator[Finding]:
    for name in (*_NAMES, "NO_PROXY"):
        lower, upper = variables.get(name.lower()), variables.get(name)
        if lower and upper and lower != upper:
            remedy = f"Programs take one or the other. Leave one: unset {name.lower()}"
            yield Finding(name, MISSING, f"{name} and {name.lower()} differ", remedy)
    for name in _NAMES:
        if value := _value(variables, name):
            yield from _problem(name, value, online=online)
    secure, plain, both = (_value(variables, name) for name in _NAMES)
    if both and not (secure or plain):
        remedy = 'Bazel does not read ALL_PROXY. Write: export HTTPS_PROXY="$ALL_PROXY" HTTP_PROXY="$ALL_PROXY"'
        yield Finding("ALL_PROXY", MISSING, "it is set, and neither HTTPS_PROXY nor HTTP_PROXY", remedy)
    elif plain and not secure:
        remedy = 'Packages come by https, which it is not for. Write: export HTTPS_PROXY="$HTTP_PROXY"'
        yield Finding("HTTPS_PROXY", HINT, "it is not set, but HTTP_PROXY is", remedy)
    if secure or plain or both:
        yield from _exceptions(_value(variables, "NO_PROXY"))


def _problem(name: str, value: str, *, online: bool) -> Iterator[Finding]:
    """Tell why a proxy cannot be used. Its value is not shown: a password may be in it."""
    write = f"Write: export {name}=http://HOST:PORT"
    match = _BAZELS.fullmatch(value)
    if not match or int(match[3] or 1) not in range(1, 1 << 16):
        scheme = re.match(r"(\w+)://", value)
        kind = f"a proxy of {scheme[1]}" if scheme and scheme[1] not in ("http", "https") else "no address of a proxy"
        yield Finding(name, MISSING, f"it has {kind}, which Bazel does not take", write)
    elif match[1] == "https":
        remedy = f"Bazel and uv take it, push, pull and import of the bento command do not. {write}"
        yield Finding(name, HINT, "its proxy is reached by https", remedy)
    elif online and (reason := _silent(match[2], int(match[3] or 80))):
        remedy = f"Correct it, or leave it out: unset {name}"
        yield Finding(name, MISSING, f"{_shown(value)} does not answer: {reason}", remedy)


def _silent(host: str, port: int) -> str:
    """Return why no connection comes about; empty where one does."""
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _exceptions(value: str) -> Iterator[Finding]:
    """Tell of what NO_PROXY lacks, and of entries that Bazel takes for names of hosts."""
    entries = [entry.strip() for entry in value.split(",") if entry.strip()]
    unknown = [entry for entry in entries if re.search(r"[*/]|[^:]:\d+$", entry)]  # not the `::1` of IPv6
    if unknown:
        remedy = "Bazel reads names of hosts and `.domains` there, and no `*`, networks or ports: add the names."
        yield Finding("NO_PROXY", HINT, f"Bazel does not understand {', '.join(unknown)} in it", remedy)
    elif not {"localhost", "127.0.0.1"} <= set(entries):
        remedy = "curl and uv ask the proxy for servers of this machine. Write: " + (
            'export NO_PROXY="$NO_PROXY,localhost,127.0.0.1"' if entries else "export NO_PROXY=localhost,127.0.0.1"
        )
        yield Finding("NO_PROXY", HINT, "it does not name this machine", remedy)


def _value(variables: Mapping[str, str], name: str) -> str:
    return variables.get(name.lower()) or variables.get(name) or ""


def _shown(value: str) -> str:
    """Return a proxy without the password that may be in it."""
    return display_url(value).rpartition("//")[2].rstrip("/")
