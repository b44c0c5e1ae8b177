"""Plans the layer of `bento image --file SOURCE=PATH`: files and directories from elsewhere, at a path in the image.

Root owns them, as in layers of the rules. The mode of a file is 0644 or, if its owner can execute it, 0755.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from posixpath import dirname, join, normpath

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import digest_path
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Mapping, Sequence
from rules_bento.bentos.sources import secrets as scanner
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.snapshot import DeclaredFile
from rules_bento.images.debian import any_base
from rules_bento.images.debian.deb_rootfs import merged
from rules_bento.images.layers.layer import write_files_layer
from rules_bento.images.layers.members import program_members
from rules_bento.images.plan import PlannedLayer

from bento_cli.sharing.native_cache import read_record

if TYPE_CHECKING:
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace

_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[^/\0-\x1f\x7f]+)+/?")
_SYSTEM = re.compile(r"/(bin|boot|etc|lib|lib32|lib64|sbin|usr|var)/")
_KERNEL = re.compile(r"/(dev|proc|sys)/")
_REMEDY = "Write SOURCE=/ABSOLUTE/PATH."
_MAX_LINKS = 40


def declared(texts: Sequence[str]) -> list[DeclaredFile]:
    """Return the files of `--file`, with their absolute paths in the image. Raises BentoError for an invalid value."""
    files: dict[str, DeclaredFile] = {}
    for text in texts:
        source, _, path = text.rpartition("=")
        if not source or not _PATH.fullmatch(path) or _KERNEL.match(path):
            raise BentoError(f"{text!r} has no usable path", place="--file", remedy=_REMEDY)
        for file in _expand(Path(source), path):
            if files.setdefault(file.path, file) != file:
                raise BentoError(f"{file.path} is added twice", place="--file", remedy="Remove one of the values.")
    return [file for _, file in sorted(files.items())]


def _expand(source: Path, path: str) -> Iterator[DeclaredFile]:
    """Yield a file, or the files in a directory. A file at a path that ends with a slash keeps its name."""
    if not source.is_dir():
        place = path + source.absolute().name if path.endswith("/") else path
        if not source.is_file():
            remedy = "Correct the path, which is relative to the current directory."
            raise BentoError("no such file or directory", place=f"--file {source}", remedy=remedy)
        yield DeclaredFile(place, str(source.resolve()), str(source))
        return
    root = f"{os.path.realpath(source)}/"
    for file in snapshot.walk(str(source)):
        if file.link is not None and not os.path.realpath(file.source).startswith(root):
            problem = f"{file.path} is a link to a file outside of the directory"
            raise BentoError(problem, place=f"--file {source}", remedy="Replace the link with a copy of the file.")
        if file.link is not None and file.link.startswith("/"):
            file = replace(file, link=None)
        yield replace(file, path=f"{path.rstrip('/')}/{file.path}")


def check_secrets(files: Sequence[DeclaredFile], env: Sequence[str], allowed: Sequence[str]) -> None:
    """Raise BentoError for a file or a variable that might contain a secret, unless `allowed` contains its name."""
    prefixes = snapshot.read_prefixes(files, scanner.MAX_BYTES)
    texts = [(path.removeprefix("src/"), data) for path, data in prefixes]
    texts += [(f"--env {text.partition('=')[0]}", text.encode()) for text in env]
    known = [path for path, _ in texts]
    words = scanner.OptionNames("--allow-secret", "--no-secrets-check", "the image")
    scanner.check([*scanner.scan_files(texts)], [path for path in allowed if path in known], known, words)


def plan(workspace: BuildWorkspace, base: BaseImageContents, files: Sequence[DeclaredFile]) -> list[PlannedLayer]:
    """Return the layer with files, or nothing without files. Raises BentoError if they replace files of the system."""
    if not files:
        return []
    tree = _system_tree(workspace, base) if any(_SYSTEM.match(file.path) for file in files) else {}
    placed = [replace(file, path=_resolve(file.path, tree)) for file in files]
    allowed = workspace.values("replace")
    for file, own in zip(placed, files, strict=True):
        if tree.keys() & {file.path, f"/{merged(file.path)}"} and own.path not in allowed:
            remedy = f"Choose another path, or add --replace {own.path}."
            raise BentoError(f"{own.path} replaces a file of {base.name}", place="--file", remedy=remedy)
    manifest, listed = program_members([replace(file, path=file.path.lstrip("/")) for file in placed], "")
    write = partial(write_files_layer, entries=listed, compression=workspace.compression)
    return [PlannedLayer("files", ["files", manifest.identity().hex()], write)]


def _system_tree(workspace: BuildWorkspace, base: BaseImageContents) -> dict[str, str]:
    """Return the paths of a base in directories of the system, with the targets of links."""

    def read() -> dict[str, str]:
        complete = base.complete()
        layers = ((complete.layout.blob(each.digest), each.media_type, each.diff_id) for each in complete.image.layers)
        kinds, _ = any_base.read_tree(layers, lambda _: False)
        paths = {f"/{path}": each for path, each in kinds.items() if each[0] != "folder"}
        return {path: each[4] for path, each in paths.items() if each[0] == "link" or _SYSTEM.match(path)}

    return dict(read_record(digest_path(workspace.cache / "bases", base.image.digest, "-tree.json"), read))


def _resolve(path: str, tree: Mapping[str, str]) -> str:
    """Return a path whose directories aren't links of the base, so that the layer doesn't replace such a link."""
    for _ in range(_MAX_LINKS):
        above = dirname(path)
        while above != "/" and not tree.get(above):
            above = dirname(above)
        if above == "/":
            return path
        path = normpath(join(dirname(above), tree[above], path[len(above) + 1 :]))
    return path
