"""Notifies a running server of edits in the workspace, or of builds that ibazel reports."""

from __future__ import annotations

import filecmp
import os
import select
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.tree_walk import GENERATED, walk
from rules_bento.typing_lite import Callable, Sequence

_BUILT = b"IBAZEL_BUILD_COMPLETED SUCCESS"
_READ = 1 << 16
_DESCRIPTION = "README.md"  # might be generated from a docstring; doesn't affect the server
_NEW_EACH_TIME = ("creation_time:", "version:")  # lines of bento.yaml


class Watcher:
    """Base class of watchers. A watcher restarts a server's workers by writing to the file `edits`."""

    def __init__(self, edits: Path) -> None:
        self.edits = edits
        self._count = 0
        self._edit()

    def poll(self) -> None:
        """Apply changes since the last call, if any."""
        raise NotImplementedError

    def _edit(self) -> None:
        self._count += 1
        self.edits.write_text(f"{self._count}\n", "utf-8")


class SourceWatcher(Watcher):
    """Watches the workspace files that the links in the Bento's `src/` point to."""

    def __init__(self, bento: Path, edits: Path, roots: Sequence[Path]) -> None:
        """Replace files in `src/` with links to identical files below `roots`. For `edits`, see `Watcher`."""
        super().__init__(edits)
        source = bento / "src"
        self._files: list[Path] = []
        self._others: list[str] = []
        files = [Path(path) for path, entry in walk(source, strict=False) if entry.is_file(follow_symlinks=False)]
        for path in sorted(files):
            file = source / path
            if original := next((root / path for root in roots if _is_same(root / path, file)), None):
                file.unlink()
                file.symlink_to(original)
                self._files.append(file)
            elif path.as_posix() != "bentofile.yaml":  # written by BentoML
                self._others.append(path.as_posix())
        self._seen = self._pending = self._states()

    def summary(self) -> str:
        """Return a message that lists the unwatched files in `src/`, and counts the watched files."""
        count = len(self._files)
        followed = f"{count} file{'' if count == 1 else 's'} of the workspace"
        return followed + (f"; not watched, as built: {', '.join(self._others)}" if self._others else "")

    def poll(self) -> None:
        """Report changes and request a reload, but only after an interval without further changes."""
        now = self._states()
        if now == self._pending and now != self._seen:
            changed = [path for path in now if now[path] != self._seen[path]]
            sys.stderr.write(f"{', '.join(changed)} changed\n")
            self._seen = now
            self._edit()
        self._pending = now

    def _states(self) -> dict[str, tuple[int, int, int] | None]:
        return {os.readlink(file): _state(file) for file in self._files}  # noqa: PTH115 - a string is required


class BuildWatcher(Watcher):
    """Watches for new builds of a Bento. ibazel reports the builds on standard input."""

    def __init__(self, bento: Path, edits: Path, unpack: Callable[[Path], None], notices: int = 0) -> None:
        """Read reports from the descriptor `notices`. `unpack` extracts a new Bento. For `edits`, see `Watcher`."""
        super().__init__(edits)
        self._bento = bento
        self._unpack = unpack
        self._notices = notices
        self._partial = b""
        self._is_open = True

    def poll(self) -> None:
        """Apply a new build, if any. Raises BentoError if the build requires a restart of the server."""
        if not self._is_open or not select.select([self._notices], [], [], 0)[0]:
            return
        read = os.read(self._notices, _READ)
        self._is_open = bool(read)
        *lines, self._partial = (self._partial + read).split(b"\n")
        if _BUILT in (line.strip() for line in lines):
            self._take()

    def _take(self) -> None:
        with tempfile.TemporaryDirectory(prefix="built-", dir=self._bento.parent) as scratch:
            built = Path(scratch, "bento")
            self._unpack(built)
            if other := _first_difference(self._bento, built):
                raise BentoError("the file changed", place=other, remedy="Restart the server to serve the new version.")
            before, after = _files(self._bento / "src"), _files(built / "src")
            changed = [
                path
                for path in sorted(before | after)
                if not _is_same(built / "src" / path, self._bento / "src" / path)
            ]
            for path in changed:
                place = self._bento / "src" / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if path in after:
                    (built / "src" / path).replace(place)
                else:
                    place.unlink()
        if changed:
            sys.stderr.write(f"{', '.join(changed)} changed\n")
            self._edit()


def _files(directory: Path) -> set[str]:
    tree = walk(directory, without=GENERATED, strict=False)
    return {path for path, entry in tree if not entry.is_dir(follow_symlinks=False)}


def _first_difference(old: Path, new: Path) -> str:
    """Return the path of the first changed file that requires a restart, or "" if no restart is required."""
    for path in sorted(_files(old) | _files(new)):
        if path.startswith("src/") or path == _DESCRIPTION:
            continue
        if path == "bento.yaml" and _described(old / path) == _described(new / path):
            continue
        if not _is_same(old / path, new / path):
            return path
    return ""


def _described(file: Path) -> list[str]:
    return [line for line in file.read_text("utf-8").splitlines() if not line.startswith(_NEW_EACH_TIME)]


def _is_same(one: Path, other: Path) -> bool:
    filecmp.clear_cache()  # the cache compares times, which are equal in a Bento
    with suppress(OSError):
        return filecmp.cmp(one, other, shallow=False)
    return False


def _state(file: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        status = file.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
