"""Plans the layers of `bento image --file SOURCE=PATH` and `--writable PATH`: files from elsewhere, and directories.

Root owns the files, as in layers of the rules, except in directories of `--writable`. The mode of a file is 0644 or, if
its owner can execute it, 0755.
"""

from __future__ import annotations

import os
import re
from functools import partial
from itertools import accumulate, product
from pathlib import Path
from posixpath import dirname, join, normpath

from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import digest_path
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Mapping, Sequence
from rules_bento.bentos.sources import secrets as scanner
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.snapshot import DeclaredFile
from rules_bento.images.debian import any_base
from rules_bento.images.debian.deb_rootfs import merged
from rules_bento.images.layers.layer import write_files_layer
from rules_bento.images.layers.members import program_members
from rules_bento.images.plan import ENVIRONMENT, HOME, OWNER, PlannedLayer

from bento_cli.projects.image_table import find_inside
from bento_cli.projects.project_reach import read
from bento_cli.sharing.native_cache import read_record

if TYPE_CHECKING:
    from bento_cli.sharing.image_options import AddedFile, ImagePath, Pair
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace

_SYSTEM = re.compile(r"/(bin|boot|etc|home|lib|lib32|lib64|root|run|sbin|tmp|usr|var)/")
_MAX_LINKS = 40
_MODE = 0o755  # of most directories


class _Tree(NamedTuple):
    """What the layers below have, by path."""

    files: Mapping[str, str]  # targets of links, and "" for files
    directories: Mapping[str, Sequence[int]]  # mode, user, and group, except for root's directories with `_MODE`


def declared(added: Sequence[AddedFile]) -> list[DeclaredFile]:
    """Return files, with their absolute paths in the image. Raises BentoError for an unusable source."""

    def expand(tops: Sequence[str]) -> list[DeclaredFile]:
        return [file for each in added if each.top in tops for file in _expand(each)]

    files: dict[str, DeclaredFile] = {}
    tops = sorted({each.top for each in added} - {""})
    for file in [*expand([""]), *(read(tops, expand, tops) if tops else ())]:
        if files.setdefault(file.path, file) != file:
            raise BentoError(f"{file.path} is added twice", place=file.origin, remedy="Remove one of the values.")
    return [file for _, file in sorted(files.items())]


def _expand(added: AddedFile) -> Iterator[DeclaredFile]:
    """Yield a file, or the files in a directory. A file at a path that ends with a slash keeps its name."""

    def resolve(path: str) -> str:
        return find_inside(path, added.top, added.place, "--file") if added.top else os.path.realpath(path)

    real, place = resolve(added.source), f"{added.place} {added.source}"
    top = os.path.realpath(added.top) if added.top else ""
    if not Path(real).is_dir():
        if not Path(real).is_file():
            remedy = f"Correct the path, which is relative to the {'project' if top else 'current directory'}."
            raise BentoError("no such file or directory", place=place, remedy=remedy)
        path = added.path + Path(added.source).absolute().name if added.path.endswith("/") else added.path
        yield DeclaredFile(path, real, place, below=top)
        return
    for file in snapshot.walk(real):
        if file.link is not None and not os.path.realpath(file.source).startswith(f"{real}/"):
            problem = f"{file.path} is a link to a file outside of the directory"
            raise BentoError(problem, place=place, remedy="Replace the link with a copy of the file.")
        if file.link is not None and file.link.startswith("/"):
            file = replace(file, source=resolve(file.source), link=None)
        yield replace(file, path=f"{added.path.rstrip('/')}/{file.path}", origin=place, below=top)


def check_secrets(files: Sequence[DeclaredFile], env: Sequence[Pair], allowed: Sequence[str]) -> None:
    """Raise BentoError for a file or a variable that might contain a secret, unless `allowed` contains its name."""
    prefixes = snapshot.read_prefixes(files, scanner.MAX_BYTES)
    texts = [(path.removeprefix("src/"), data) for path, data in prefixes]
    texts += [(f"--env {each.name}", f"{each.name}={each.value}".encode()) for each in env]
    known = [path for path, _ in texts]
    words = scanner.OptionNames("--allow-secret", "--no-secrets-check", "the image")
    scanner.check([*scanner.scan_files(texts)], [path for path in allowed if path in known], known, words)


def plan(workspace: BuildWorkspace, base: BaseImageContents, files: Sequence[DeclaredFile]) -> list[PlannedLayer]:
    """Return the layer with files, or nothing without files. Raises BentoError if they replace files of the system."""
    if not files:
        return []
    tree = _read_tree(workspace, base, [file.path for file in files])
    placed = [replace(file, path=_resolve(file.path, tree.files)) for file in files]
    allowed = [each.path for each in workspace.values("replace")]
    for file, own in zip(placed, files, strict=True):
        if tree.files.keys() & {file.path, f"/{merged(file.path)}"} and own.path not in allowed:
            remedy = f"Choose another path, or add --replace {own.path}."
            raise BentoError(f"{own.path} replaces a file of {base.name}", place=own.origin, remedy=remedy)
    manifest, listed = program_members([replace(file, path=file.path.lstrip("/")) for file in placed], "")
    listed = owned(workspace, listed)
    above = _directories_above([file.path for file in placed], tree)
    write = partial(write_files_layer, entries=[*listed, *above], compression=workspace.compression)
    writable = [each.path for each in workspace.values("writable")]
    return [PlannedLayer("files", ["files", manifest.identity().hex(), above, *writable], write)]


def plan_writable(workspace: BuildWorkspace, base: BaseImageContents) -> list[PlannedLayer]:
    """Return the layer with the directories of `--writable`, above the files in them.

    Raises BentoError for directories and files of the system.
    """
    paths: Sequence[ImagePath] = workspace.values("writable")
    tree = _read_tree(workspace, base, [f"{each.path}/" for each in paths])
    resolved = {_resolve(each.path.rstrip("/"), tree.files): each for each in paths}
    placed = sorted(resolved)
    for path in placed:
        is_used = path in tree.directories or any(f"{each}/".startswith(f"{path}/") for each in tree.files)
        if is_used and path not in (HOME, ENVIRONMENT):
            remedy = f"Choose another directory, such as {path}/data."
            raise BentoError(f"{path} is in {base.name}", place=resolved[path].place, remedy=remedy)
    listed = [Member.directory(path[1:], **OWNER) for path in placed]
    above = [each for each in _directories_above(placed, tree) if each.path not in {each.path for each in listed}]
    write = partial(write_files_layer, entries=[*listed, *above], compression=workspace.compression)
    return [PlannedLayer("writable directories", ["writable", placed, above], write)] if paths else []


def owned(workspace: BuildWorkspace, listed: Sequence[Member]) -> list[Member]:
    """Return files of which the image's user owns those in directories of `--writable`, and these directories.

    Raises BentoError if one of these directories is a file.
    """
    places = {one.path.strip("/"): one.place for one in workspace.values("writable")}
    for path, each in product(places, listed):
        if f"{path}/".startswith(f"{each.path}/"):
            remedy = "Write the path of a directory."
            raise BentoError(f"/{each.path} is a file or a link", place=places[path], remedy=remedy)
    is_owned = tuple(f"{path}/" for path in places)
    used = {path for path in places for each in listed if each.path.startswith(f"{path}/")}
    return [
        each._replace(uid=OWNER["uid"], gid=OWNER["gid"]) if each.path.startswith(is_owned) else each for each in listed
    ] + [Member.directory(path, **OWNER) for path in sorted(used)]  # and thereby the directories in them


def _directories_above(paths: Sequence[str], tree: _Tree) -> list[Member]:
    """Return the directories above paths as in the layers below: a layer also replaces the modes of directories."""
    found = {f"/{above}" for path in paths for above in accumulate(path.strip("/").split("/")[:-1], join)}
    unusual = [(path, tree.directories[path]) for path in sorted(found & tree.directories.keys())]
    return [Member.directory(path[1:], mode=mode, uid=user, gid=group) for path, (mode, user, group) in unusual]


def _read_tree(workspace: BuildWorkspace, base: BaseImageContents, paths: Sequence[str]) -> _Tree:
    """Return what a base has in directories of the system, if one of the paths is there."""

    def read() -> dict[str, Any]:
        kinds, _ = any_base.read_tree(base.layers(), lambda _: False)
        found = {f"/{path}": each for path, each in kinds.items()}
        files = {path: each for path, each in found.items() if each[0] != "folder"}
        directories = {path: each[1:4] for path, each in found.items() if each[0] == "folder"}
        return {
            "files": {path: each[4] for path, each in files.items() if each[0] == "link" or _SYSTEM.match(path)},
            "directories": {path: each for path, each in directories.items() if each != (_MODE, 0, 0)},
        }

    own: dict[str, Sequence[int]] = dict.fromkeys((HOME, ENVIRONMENT), (_MODE, *OWNER.values()))
    if not any(_SYSTEM.match(path) for path in paths):
        return _Tree({}, own)
    record = read_record(digest_path(workspace.cache / "bases", base.image.digest, "-paths.json"), read)
    return _Tree(record["files"], record["directories"] | own)


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
