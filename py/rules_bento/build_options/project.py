"""Reads the files of a build context that options name: scripts, requirements, templates, and so on."""

from __future__ import annotations

import posixpath

from rules_bento.errors import BentoError, nearest
from rules_bento.sources.opening import open_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ProjectFiles:
    """Reads declared files, by their path in the build context, when they are needed.

    `taken` collects what was read, so that somebody who has all files can pass on those that matter.
    """

    def __init__(self, files: Mapping[str, str | bytes], check: Callable[[str], None] | None = None) -> None:
        """Know files by path: where each is to be read, or its content.

        `check` is called with a path before the file is read, and raises BentoError if it must not be.
        """
        self._files = files
        self._check = check
        self.loaded: dict[str, bytes] = {}

    def has(self, path: str) -> bool:
        """Return whether the file is declared."""
        return path in self._files

    def path(self, written: str, place: str) -> str:
        """Return the path in the build context that an option means.

        Raises BentoError, which begins with `place`, for one that is absolute or leaves the context.
        """
        path = posixpath.normpath(written)
        if written.startswith(("/", "~")) or "$" in written or path == ".." or path.startswith("../"):
            raise BentoError(
                f"{place}: {written!r} is not a path inside of the build context. Declare a copy of the file there."
            )
        return path

    def read(self, written: str, place: str) -> bytes:
        """Return the content of the file that an option names. Raises BentoError if nobody declared it."""
        path = self.path(written, place)
        if path not in self._files:
            near = nearest(path, self._files, 0.7)
            hint = f" Did you mean {near!r}?" if near else ""
            raise BentoError(
                f"{place}: {written!r} is not among the files of the build context.{hint} Add it to srcs or data."
            )
        if self._check:
            try:
                self._check(path)
            except BentoError as error:
                raise BentoError(f"{place}: {error}") from None
        file = self._files[path]
        try:
            if isinstance(file, bytes):
                content = file
            else:
                with open_source(file) as source:
                    content = source.read()
        except OSError as error:
            raise BentoError(
                f"{place}: {written!r} cannot be read: {error.strerror}. Declare a readable file."
            ) from None
        self.loaded[path] = content
        return content

    def exact_text(self, written: str, place: str) -> str:
        """Return the content as UTF-8 text, with its own line ends. Raises as `read`, and for what is not UTF-8."""
        try:
            return self.read(written, place).decode()
        except UnicodeDecodeError:
            raise BentoError(f"{place}: {written!r} is not UTF-8 text. Save it as UTF-8.") from None

    def text(self, written: str, place: str) -> str:
        """Return the content as UTF-8 text, with plain line ends and without a byte order mark. Raises as above."""
        return self.exact_text(written, place).removeprefix("\N{BYTE ORDER MARK}").replace("\r\n", "\n")
