"""Rejects what the import of a service may not do, so that nothing from outside decides its metadata.

A library may read files while it is imported itself (many look for a shared library, which starts ldconfig). The
service's own modules may not, on their own or through a function of a library, even if they catch the error.
"""

from __future__ import annotations

import linecache
import os
import sys

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.typing_lite import TYPE_CHECKING, Any, NoReturn, Sequence

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

_END = "ends the process"
_FILE = "reads a file"
_NETWORK = "opens the network"
_PROCESS = "starts a process"
_EVENTS = {
    _FILE: "open os.listdir os.scandir",
    _NETWORK: "socket.connect socket.getaddrinfo socket.gethostbyname socket.sendto",
    _PROCESS: "os.exec os.fork os.forkpty os.posix_spawn os.spawn os.system pty.spawn subprocess.Popen",
}
_KINDS = {event: kind for kind, events in _EVENTS.items() for event in events.split()}
_IMPORT = "<frozen importlib._bootstrap>"
# The same on every machine, or without influence: mimetypes always reads its tables.
_HARMLESS = ("/dev/null", "/dev/random", "/dev/urandom", "/etc/apache/", "/etc/httpd/", "/etc/mime.types")
_REMEDIES = {
    _NETWORK: "Put the data into a file of the Bento, or fetch it when the service starts",
    _PROCESS: "Put its output into a file of the Bento, or start it when the service starts",
    _FILE: "Add the file to the Bento, and name it relative to the module",
    _END: "Raise an error in its place, or leave it to where the service starts",
}


class Refusal(NamedTuple):
    """Describes what the service did and where, and how to avoid it."""

    what: str
    remedy: str


class RefusedError(OSError):
    """Raised in the service's code when it does something that a build doesn't allow."""


class Guard:
    """Rejects, while it is active, what would let something from outside decide the service's metadata."""

    def __init__(self, source: Path, readable: Sequence[Path]) -> None:
        """Install the hook; `source` has the service's modules, `readable` are other paths that it may read."""
        self.refusals: list[Refusal] = []
        self.active = False
        self._prefix = f"{source}/"
        self._readable = tuple({f"{form}/" for path in readable for form in (path, os.path.realpath(path))})
        self._exit = os._exit
        sys.addaudithook(self._audit)
        os._exit = self._refuse_exit

    def end(self, status: int) -> NoReturn:
        """End the process immediately, whatever threads the service has started."""
        self._exit(status)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        kind = _KINDS.get(event)
        if kind is None or not self.active:
            return
        if kind == _FILE and self._may_open(args[0]):
            return
        place = self._own_place()
        if place is None:
            if kind == _NETWORK:
                raise RefusedError(f"{event}: the import has no network access")
            return
        self._refuse(kind, place, "" if kind == _PROCESS else _detail(event, args))

    def _may_open(self, path: Any) -> bool:
        if path is None or isinstance(path, int):  # the current folder, or what is open
            return True
        text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links are not followed here
        return f"{text}/".startswith(self._readable) or text.startswith(_HARMLESS)

    def _own_place(self) -> str | None:
        """Return the service's own line that caused the event; None if a library did so while it was being imported."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._prefix):
                text = linecache.getline(name, frame.f_lineno).strip()
                return f"{name[len(self._prefix) :]}:{frame.f_lineno}: {text}"
            if name == _IMPORT:
                return None
            frame = frame.f_back
        return None

    def _refuse_exit(self, status: int) -> NoReturn:
        place = self._own_place() if self.active else None
        if place is None:
            self._exit(status)
        self._refuse(_END, place, "os._exit")

    def _refuse(self, kind: str, place: str, detail: str) -> NoReturn:
        refusal = f"importing it {kind}" + (f" ({detail})" if detail else "")
        self.refusals.append(Refusal(f"{refusal}:\n  {place}", _REMEDIES[kind]))
        raise RefusedError(f"{refusal}, which a build does not allow")


def _detail(event: str, args: tuple[Any, ...]) -> str:
    """Return the file or the address that an event is about."""
    value = args[1] if event in ("socket.connect", "socket.sendto") else args[0]
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else str(value)
