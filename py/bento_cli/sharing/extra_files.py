"""Plans the layers of `bento image --file SOURCE=PATH` and `--writable PATH`: files from elsewhere, and directories.

Root owns the files, as in layers of the rules, except in directories of `--writable`. The mode of a file is 0644 or, if
its owner can execute it, 0755.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from functools import partial
from hashlib import sha256
from itertools import accumulate, product
from pathlib import Path
from posixpath import dirname, join, normpath

from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import digest_path
from rules_bento.base.tree_walk import BYTECODE
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.sources import secrets as scanner
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.snapshot import DeclaredFile
from rules_bento.images.debian import any_base
from rules_bento.images.debian.deb_rootfs import merged
from rules_bento.images.layers.members import environment_members, program_members
from rules_bento.images.plan import ENVIRONMENT, HOME, OWNER, USER, PlannedLayer
from rules_bento.images.wheels.install import InstallLayout, installed_files

from bento_cli.projects.image_table import find_inside
from bento_cli.projects.project_reach import confined
from bento_cli.projects.project_tree import ProjectTree
from bento_cli.sharing.native_cache import read_record

if TYPE_CHECKING:
    from rules_bento.images.plan import PlannedWheel

    from bento_cli.sharing.image_options import AddedFile, ImagePath, Pair
    from bento_cli.sharing.native_base import BaseImageContents
    from bento_cli.sharing.native_build import BuildWorkspace

_OWN = ("/app/", "/srv/")  # where bases have nothing
CODE, _PACKAGE = "the code", "the package "
# The files of a package for which there are patterns
_EXCLUDABLE = re.compile(rf"{ENVIRONMENT}(?:/lib/[^/]+/site-packages(?!/[^/]+\.dist-info/)(/.+)|(/bin/[^/]+))")
_MAX_LINKS = 40
_MODE = 0o755  # of most directories


class _Tree(NamedTuple):
    """What a base and its environment have, by path."""

    files: Mapping[str, str]  # targets of links, and "" for files
    directories: Mapping[str, Sequence[int]]  # mode, user, and group

    @property
    def unusual(self) -> dict[str, Sequence[int]]:
        """The directories that don't have `_MODE`, or that root doesn't own."""
        return {path: each for path, each in self.directories.items() if [*each] != [_MODE, 0, 0]}


class OtherPaths(NamedTuple):
    """What the layers of an image have above its base: paths of the code, directories of models, and packages."""

    code: Collection[str]
    models: Collection[str]
    wheels: Sequence[PlannedWheel]

    def owners(self, workspace: BuildWorkspace, base: BaseImageContents, placed: Iterable[str]) -> dict[str, str]:
        """Return what owns each path. Reads the packages only if one of the paths `placed` is in the environment."""
        version = base.python_version
        environment = environment_members(HOME, ENVIRONMENT, base.python, version, USER)
        found = {f"/{each.path}{'/.' * each.is_directory}": "the environment" for each in environment}
        layout = InstallLayout.venv(ENVIRONMENT, int(version.partition(".")[2]), **OWNER)
        installed = partial(installed_files, layout=layout)
        for wheel in self.wheels if any(path.startswith(f"{ENVIRONMENT}/") for path in placed) else ():
            paths = [f"/{file.path}" for file in workspace.read(wheel, installed)]
            paths += [f"{dirname(path)}/{BYTECODE}" for path in paths if path.endswith(".py")]
            found |= dict.fromkeys(paths, f"{_PACKAGE}{wheel.distribution}")
        return found | dict.fromkeys(self.models, "a model") | dict.fromkeys(self.code, CODE)


def declared(added: Sequence[AddedFile]) -> list[DeclaredFile]:
    """Return files by path, with their absolute paths in the image. Raises BentoError for an unusable source."""

    def expand() -> set[DeclaredFile]:
        return {file for each in added for file in _expand(each)}

    places = sorted({each.top or each.source for each in added})
    return sorted(confined(places, expand) if places else (), key=lambda file: (file.path, file.origin))


def _expand(added: AddedFile) -> Iterator[DeclaredFile]:
    """Yield a file, or the files in a directory. A file at a path that ends with a slash keeps its name.

    A table's are in its project, or elsewhere in the Git repository, which then tracks them.
    """
    tree = ProjectTree(Path(added.top)) if added.top else None

    def resolve(path: str) -> str:
        return find_inside(path, tree.root, added.place, "--file") if tree else os.path.realpath(path)

    def belongs(path: str) -> bool:
        return not tree or f"{path}/".startswith(f"{tree.top}/") or os.path.relpath(path, tree.root) in tree.git.tracked

    real, place = resolve(added.source), f"{added.place} {added.source}"
    if not belongs(real):
        problem = f"{added.source!r} is outside of the project, and Git doesn't track it"
        raise BentoError(problem, place=added.place, remedy="Run `git add`, or use --file on the command line.")
    root = str(tree.root) if tree else ""
    if not Path(real).is_dir():
        if not Path(real).is_file():
            remedy = f"Correct the path, which is relative to the {'project' if tree else 'current directory'}."
            raise BentoError("no such file or directory", place=place, remedy=remedy)
        path = added.path + Path(added.source).absolute().name if added.path.endswith("/") else added.path
        yield DeclaredFile(path, real, place, below=root)
        return
    for file in snapshot.walk(real):
        if not belongs(file.source):
            continue
        if file.link is not None and not os.path.realpath(file.source).startswith(f"{real}/"):
            problem = f"{file.path} is a link to a file outside of the directory"
            raise BentoError(problem, place=place, remedy="Replace the link with a copy of the file.")
        if file.link is not None and file.link.startswith("/"):
            file = replace(file, source=resolve(file.source), link=None)
        yield replace(file, path=f"{added.path.rstrip('/')}/{file.path}", origin=place, below=root or real)


def _places(files: Iterable[DeclaredFile]) -> set[str]:
    return {file.below or file.source for file in files}


def check_secrets(files: Sequence[DeclaredFile], env: Sequence[Pair], allowed: Sequence[str]) -> None:
    """Raise BentoError for a file or a variable that might contain a secret, unless `allowed` contains its name."""

    def search() -> tuple[list[str], list[scanner.SecretFinding]]:
        texts = [(path.removeprefix("src/"), data) for path, data in snapshot.read_prefixes(files, scanner.MAX_BYTES)]
        texts += [(f"--env {each.name}", f"{each.name}={each.value}".encode()) for each in env]
        return [path for path, _ in texts], [*scanner.scan_files(texts)]

    known, findings = confined(_places(files), search)
    words = scanner.OptionNames("--allow-secret", "--no-secrets-check", "the image")
    scanner.check(findings, [path for path in allowed if path in known], known, words)


def plan(
    workspace: BuildWorkspace, base: BaseImageContents, files: Sequence[DeclaredFile], others: OtherPaths
) -> tuple[list[PlannedLayer], frozenset[str]]:
    """Return the layer with files, or nothing without files, and the paths of the code that they replace.

    Raises BentoError for each other path that the image has twice, and for a value of `--replace` without a file.
    """
    replaceable = {each.path: each for each in workspace.values("replace")}
    for path in sorted(replaceable.keys() - {file.path for file in files}):
        remedy = "Correct or remove the value, which is the path of one added file."
        raise BentoError(f"no --file adds {path}", place=replaceable[path].place, remedy=remedy)
    if not files:
        return [], frozenset()
    tree = _read_tree(workspace, base, [file.path for file in files])
    placed: dict[str, DeclaredFile] = {}
    for file in files:
        if placed.setdefault(path := _resolve(file.path, tree.files), file) is not file:
            raise BentoError(f"{file.path} is added twice", place=file.origin, remedy="Remove one of the values.")
    owners = dict.fromkeys([*tree.files, *(f"{path}/." for path in tree.directories)], base.name)
    owners |= others.owners(workspace, base, placed)
    _check(placed, owners, {base.name, CODE}, replaceable)
    moved = [replace(file, path=path.lstrip("/")) for path, file in placed.items()]
    _, listed = confined(_places(moved), program_members, moved, "")
    listed = owned(workspace, listed, tree)
    listed += _above(listed, placed, tree)
    layer = PlannedLayer.of_members("files", listed, workspace.compression, _places(moved))
    return [layer], frozenset(path for path in placed if owners.get(path) == CODE)


def _check(
    placed: Mapping[str, DeclaredFile], owners: dict[str, str], replaceable: Collection[str], allowed: Collection[str]
) -> None:
    """Raise BentoError if an added file is at, above, or below a path of something else, unless it can replace it.

    `owners` has what owns a file or link, by path. `replaceable` are owners, and `allowed` the paths of `--replace`.
    """
    directories: dict[str, str] = {}
    for path, owner in owners.items():
        while (path := dirname(path)) not in directories and path != "/":
            directories[path] = owner
    for path, file in placed.items():
        same = path if path in owners else f"/{merged(path)}"
        parents, remedy = [*accumulate(path.split("/")[:-1], "{}/{}".format)], ""
        if solid := next((each for each in parents if each in owners or each in placed), ""):
            problem = f"is below {solid} of {owners.get(solid, '--file')}"
        elif path in directories:
            problem = f"replaces a directory of {directories[path]}"
        elif same in owners and not (owners[same] in replaceable and file.path in allowed):
            problem, pattern = f"replaces a file of {owners[same]}", _EXCLUDABLE.fullmatch(same)
            if owners[same] in replaceable:
                remedy = f", or add --replace {file.path}"
            elif pattern and owners[same].startswith(_PACKAGE):
                value = f"{owners[same].removeprefix(_PACKAGE)}:{pattern[1] or pattern[2]}"
                remedy = f", or add --exclude {shlex.quote(value)}"
        else:
            continue
        raise BentoError(f"{file.path} {problem}", place=file.origin, remedy=f"Choose another path{remedy}.")


def plan_writable(workspace: BuildWorkspace, base: BaseImageContents) -> list[PlannedLayer]:
    """Return the layer with the directories of `--writable`, above the files in them.

    Raises BentoError for directories and files of the system.
    """
    paths: Sequence[ImagePath] = workspace.values("writable")
    tree = _read_tree(workspace, base, [f"{each.path}/" for each in paths])
    resolved = {_resolve(each.path.rstrip("/"), tree.files): each for each in paths}
    placed = sorted(resolved)
    for path in placed:
        remedy = "Choose another directory."
        solid = next((each for each in accumulate(path.split("/"), "{}/{}".format) if each in tree.files), "")
        is_used = path in tree.unusual or any(f"{each}/".startswith(f"{path}/") for each in tree.files)
        if solid:
            problem = f"{solid} is a file or a link of {base.name}"
        elif is_used and path != HOME:
            problem, remedy = f"{path} is in {base.name}", f"Choose another directory, such as {path}/data."
        elif f"{path}/".startswith(f"{ENVIRONMENT}/"):
            problem, remedy = f"the image's user already owns {ENVIRONMENT}", "Remove the value."
        else:
            continue
        raise BentoError(problem, place=resolved[path].place, remedy=remedy)
    listed = [Member.directory(path[1:], **OWNER) for path in placed]
    listed += _above(listed, placed, tree)
    return [PlannedLayer.of_members("writable directories", listed, workspace.compression)] if paths else []


def owned(workspace: BuildWorkspace, listed: Sequence[Member], tree: _Tree | None = None) -> list[Member]:
    """Return files of which the image's user owns those in directories of `--writable`, and these directories.

    Raises BentoError if one of these directories is a file.
    """
    links = tree.files if tree else {}
    places = {_resolve(one.path.rstrip("/"), links).strip("/"): one.place for one in workspace.values("writable")}
    for path, each in product(places, listed):
        if f"{path}/".startswith(f"{each.path}/"):
            remedy = "Write the path of a directory."
            raise BentoError(f"/{each.path} is a file or a link", place=places[path], remedy=remedy)
    is_owned = tuple(f"{path}/" for path in places)
    used = {path for path in places for each in listed if each.path.startswith(f"{path}/")}
    return [
        each._replace(uid=OWNER["uid"], gid=OWNER["gid"]) if each.path.startswith(is_owned) else each for each in listed
    ] + [Member.directory(path, **OWNER) for path in sorted(used)]  # and thereby the directories in them


def _above(listed: Sequence[Member], paths: Iterable[str], tree: _Tree) -> list[Member]:
    """Return the directories above `paths` that `listed` lacks, as in the layers below.

    A layer also replaces the modes of directories.
    """
    found = {f"/{above}" for path in paths for above in accumulate(path.strip("/").split("/")[:-1], join)}
    found -= {f"/{each.path}" for each in listed}
    unusual = [(path, tree.unusual[path]) for path in sorted(found & tree.unusual.keys())]
    return [Member.directory(path[1:], mode=mode, uid=user, gid=group) for path, (mode, user, group) in unusual]


def _read_tree(workspace: BuildWorkspace, base: BaseImageContents, paths: Sequence[str]) -> _Tree:
    """Return what a base and the system packages above it have, unless all paths are in `/app` and `/srv`."""

    def record_of() -> dict[str, Any]:
        above = ((path, each.media_type, each.diff_id) for each, path in map(workspace.pack, base.above))
        layers = [*base.layers(), *above]
        kinds, _ = confined([path for path, *_ in layers], any_base.read_tree, layers, lambda _: False)
        found = {f"/{path}": each for path, each in kinds.items()}
        return {
            "files": {path: each[4] for path, each in found.items() if each[0] != "folder"},
            "directories": {path: each[1:4] for path, each in found.items() if each[0] == "folder"},
        }

    record: dict[str, Any] = {"files": {}, "directories": {}}
    if any(not path.startswith(_OWN) for path in paths):
        key = sha256(json.dumps([base.image.digest, [layer.key for layer in base.above]]).encode()).hexdigest()
        record = read_record(digest_path(workspace.cache / "bases", key, "-tree.json"), record_of)
    own = dict.fromkeys((HOME, ENVIRONMENT), (_MODE, *OWNER.values()))
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
