"""Reads the files that options refer to, such as scripts and templates, from the build context."""

from __future__ import annotations

import posixpath

from rules_bento.base.errors import BentoError, nearest
from rules_bento.base.typing_lite import Callable, Iterable, Mapping
from rules_bento.bentos.sources.tree_manifest import open_source


class ProjectFiles:
    """Declared files, read on demand by their paths in the build context. `loaded` contains the files read so far."""

    def __init__(
        self,
        files: Mapping[str, str | bytes],
        check: Callable[[str], None] | None = None,
        remedy: str = "Add the file to srcs or data.",
    ) -> None:
        """Store the declared files. `files` maps each path in the build context to the file's location or content.

        `check` is called with the path of a file before the file is read, and raises BentoError to reject the file.
        `remedy` is the last sentence of the error message for an undeclared file.
        """
        self._files = files
        self._check = check
        self._remedy = remedy
        self.loaded: dict[str, bytes] = {}

    def has(self, path: str) -> bool:
        """Return whether a file is declared at `path`."""
        return path in self._files

    @property
    def paths(self) -> Iterable[str]:
        """The paths of all declared files."""
        return self._files.keys()

    def path(self, written: str, place: str) -> str:
        """Normalize the path `written` in the option `place`. Raises BentoError for paths outside the build context."""
        path = posixpath.normpath(written)
        if written.startswith(("/", "~")) or "$" in written or path == ".." or path.startswith("../"):
            remedy = "Copy the file into the build context."
            raise BentoError(f"{written!r} is outside the build context", place=place, remedy=remedy)
        return path

    def read(self, written: str, place: str) -> bytes:
        """Return the content of the file `written`. Raises BentoError if the file is undeclared or unreadable."""
        path = self.path(written, place)
        if path not in self._files:
            near = nearest(path, self._files, 0.7)
            hint = f" Did you mean {near!r}?" if near else ""
            raise BentoError(f"{written!r} isn't a file in the build context.{hint} {self._remedy}", place=place)
        if self._check:
            try:
                self._check(path)
            except BentoError as error:
                raise error.at(place) from None
        file = self._files[path]
        try:
            if isinstance(file, bytes):
                content = file
            else:
                with open_source(file) as source:
                    content = source.read()
        except OSError as error:
            raise BentoError(f"cannot read {written!r}: {error.strerror}.", place=place) from None
        self.loaded[path] = content
        return content

    def text(self, written: str, place: str) -> str:
        """Return the text of the file `written` without a byte order mark, and with CRLF converted to LF.

        Raises BentoError if the file is unreadable or isn't UTF-8.
        """
        try:
            text = self.read(written, place).decode()
        except UnicodeDecodeError:
            raise BentoError(f"{written!r} isn't valid UTF-8", place=place, remedy="Save the file as UTF-8.") from None
        return text.removeprefix("\N{BYTE ORDER MARK}").replace("\r\n", "\n")
