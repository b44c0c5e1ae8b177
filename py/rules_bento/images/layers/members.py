"""Lists the members of an image's own layers: the environment, models, and the Bento."""

from __future__ import annotations

import posixpath
from hashlib import sha256
from itertools import pairwise
from types import MappingProxyType
from urllib.parse import quote

from rules_bento.base.archives.tarstream import Member
from rules_bento.base.display import some
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator, Mapping, Sequence
from rules_bento.images import entrypoint
from rules_bento.images.layers import description, headers

if TYPE_CHECKING:
    from rules_bento.bentos.models.model import ModelDescription
    from rules_bento.bentos.models.model_store import StoredModel
    from rules_bento.bentos.sources import snapshot
    from rules_bento.bentos.sources.tree_manifest import TreeEntry, TreeManifest

LARGE = 2 << 20  # minimum bytes of a file of a model or a program that isn't in the layer of the other files
LARGE_LAYERS = 12  # of a program; also in rules/python_image.bzl
_DIRECTORY_MODE, _FILE_MODE, _LINK_MODE = 0o755, 0o644, 0o777
# BentoML creates these when it starts; if they exist, it can start on a read-only file system.
_STORE_DIRECTORIES = ("bentos", "envs", "models", "tmp")


def environment_members(home: str, prefix: str, python: str, version: str, user: str) -> list[Member]:
    """Return the user's home directory, and a virtual environment for the interpreter `python` (version X.Y)."""
    prefix, home = prefix.strip("/"), home.strip("/")
    owner = description.owner(user)
    settings = f"home = {python.rpartition('/')[0]}\ninclude-system-site-packages = false\nversion = {version}\n"
    return [
        Member.directory(home, **owner),
        *(Member.directory(f"{home}/{directory}", **owner) for directory in _STORE_DIRECTORIES),
        Member.directory(prefix, **owner),
        Member.inline(f"{prefix}/pyvenv.cfg", settings.encode(), **owner),
        Member.inline(entrypoint.path(prefix), entrypoint.PROGRAM.encode(), **owner),
        Member.symlink(f"{prefix}/bin/python", python, **owner),
        Member.symlink(f"{prefix}/bin/python3", "python", **owner),
        Member.symlink(f"{prefix}/bin/python{version}", "python", **owner),
    ]


def bento_order(member: Member) -> tuple[bool, str]:
    """Return a sort key for archive members: bento.yaml first, then the other members by path."""
    return member.path != "bento.yaml", member.path


def bento_tar(
    directory: str, owner: dict[str, int], members: Iterable[Member], models: list[ModelDescription], mounted: str = ""
) -> Iterator[bytes]:
    """Yield pieces of the tar for the layer of a Bento in `directory`. `members` must be sorted by `bento_order`.

    If `mounted` is set, images of models are mounted below this directory.
    """
    from rules_bento.bentos.models.model import latest_versions

    directory = directory.strip("/")
    put = _Headers(directory, **owner)
    yield put.directory(directory)
    for member in members:
        path = f"{directory}/{member.path}"
        yield put.file(path, member.mode, member.size) if member.link is None else put.link(path, member.link)
        if member.contents is not None:
            yield from member.contents
            yield headers.padding(member.size)
    if mounted:
        yield from _model_links(put, directory, mounted, models)
    for name, version in latest_versions(models).items():
        data = version.encode()
        yield put.small_file(f"{directory}/models/{name}/latest", data)


def _model_links(put: _Headers, bento: str, mounted: str, models: list[ModelDescription]) -> Iterator[bytes]:
    """Yield tar members for each model: a link to the mount point of the model image, and a placeholder model.yaml.

    If an image isn't mounted, BentoML reports an error that contains the placeholder. If the placeholder didn't exist,
    BentoML would search BentoCloud. Raises BentoError for two versions of a model.
    """
    from rules_bento.bentos.models.model import MODEL_YAML, hub_cache

    tags = sorted(model.tag for model in models)
    for one, other in pairwise(tags):
        if one.partition(":")[0] == other.partition(":")[0]:
            problem = f'"image" mounts each model by name, but the models {one} and {other} have the same name'
            raise BentoError(problem, place="models", remedy='Rename one of the models, or set models = "layers".')
    for tag in tags:
        name, _, version = tag.partition(":")
        entry = f"{mounted}/{name}/{bento}/models/{name}/{version}"
        missing = f"{tag} is not mounted. Mount the image of the model (bento_model_image) at /{mounted}/{name}."
        yield put.small_file(f"{entry}/{MODEL_YAML}", f'!<{quote(missing)}> ""\n'.encode())
        yield put.link(f"{bento}/models/{name}/{version}", f"/{entry}")
    for model in models:
        for path, link, data in hub_cache(bento, model):
            yield put.link(path, link) if link else put.small_file(path, data)


class _Headers:
    """Builds the tar headers in a Bento's layer. Root owns the directories outside of the home directory."""

    def __init__(self, directory: str, uid: int, gid: int) -> None:
        self._home = directory.rpartition("/")[0]
        self._owner = (uid, gid)
        self._known: set[str] = set()

    def directory(self, path: str) -> bytes:
        """Return the headers of a directory and its parents. Omits directories that the layer already contains."""
        if not path or path in self._known:
            return b""
        self._known.add(path)
        owner = self._owner if f"{path}/".startswith(f"{self._home}/") else (0, 0)
        return self._above(path) + headers.header(path, headers.DIRECTORY, _DIRECTORY_MODE, *owner)

    def file(self, path: str, mode: int, size: int) -> bytes:
        """Return the headers of the parent directories (see `directory`), and the header of a file."""
        return self._above(path) + headers.header(path, headers.REGULAR, mode, *self._owner, size)

    def small_file(self, path: str, data: bytes) -> bytes:
        """Return the headers of the parent directories (see `directory`), and the header and contents of a file."""
        return self.file(path, _FILE_MODE, len(data)) + data + headers.padding(len(data))

    def link(self, path: str, target: str) -> bytes:
        """Return the headers of the parent directories (see `directory`), and the header of a symbolic link."""
        return self._above(path) + headers.header(path, headers.LINK, _LINK_MODE, *self._owner, 0, target)

    def _above(self, path: str) -> bytes:
        return self.directory(path.rpartition("/")[0])


def model_members(
    stored: StoredModel, bento: str, weights: frozenset[str], weights_directory: str, owner: dict[str, int]
) -> list[Member]:
    """Return the files of a model in the Bento in the directory `bento`, and links to the files in `weights`."""
    from rules_bento.bentos.models.model import hub_cache

    bento = bento.strip("/")
    directory = f"{bento}/models/{stored.entry.description.tag.replace(':', '/')}"
    members = [description.home_directory(bento, owner)]
    members += stored.members_in(f"{directory}/", excluded=weights, **owner)
    for file in stored.entry.manifest.entries:
        if file.path in weights:
            path, place = f"{directory}/{file.path}", description.place(weights_directory, file)
            members.append(Member.symlink(path, posixpath.relpath(place, posixpath.dirname(path)), **owner))
    for path, link, data in hub_cache(bento, stored.entry.description):
        members.append(Member.symlink(path, link, **owner) if link else Member.inline(path, data, **owner))
    return members


def program_members(
    kept: Iterable[snapshot.DeclaredFile], directory: str, known: Mapping[str, TreeEntry] = MappingProxyType({})
) -> tuple[TreeManifest, list[Member]]:
    """Return the manifest of a program's files, and the files below `directory`, which root owns.

    `known` is as for `snapshot.digest`.
    """
    from rules_bento.bentos.sources import snapshot

    kept = [*kept]
    manifest = snapshot.digest(kept, known=known)
    files = {file.path: file for file in kept}
    listed = []
    for entry in manifest.entries:
        path = f"{directory}/{entry.path}".lstrip("/")
        if entry.link is not None:
            listed.append(Member.symlink(path, entry.link))
        else:
            file = files[entry.path]
            member = Member.file(path, file.source, size=entry.size, mode=entry.mode)
            listed.append(member._replace(below=file.below, blake3=entry.blake3 or ""))
    return manifest, listed


def program_layers(listed: Sequence[Member]) -> list[tuple[str, list[Member]]]:
    """Return names and members of `LARGE_LAYERS` layers, which can be empty, and then of the layer of small files.

    The layer of a large file depends only on its path, so that no other file moves it. If a layer depended on the
    other files, as with a layer for each of the largest, one more file would have to move another.
    """
    groups: list[list[Member]] = [[] for _ in range(LARGE_LAYERS + 1)]
    for each in listed:
        number = LARGE_LAYERS
        if each.size >= LARGE:
            number = int(sha256(each.path.encode("utf-8", "surrogateescape")).hexdigest(), 16) % LARGE_LAYERS
        groups[number].append(each)
    return [(_title(group), group) for group in groups[:-1]] + [("program", groups[-1])]


def _title(group: Sequence[Member]) -> str:
    return some([each.path for each in group], 1)


def key(listed: Sequence[Member]) -> str:
    """Return a digest of everything that a layer has of files with digests, links, and directories."""
    fields = [(*each[:3], each.data, each.link, each.uid, each.gid, each.blake3) for each in listed]
    if unknown := [each.path for each in listed if each.source is not None and not each.blake3]:
        raise ValueError(f"{unknown[0]} has no digest")
    return sha256(repr(fields).encode()).hexdigest()


def weights_members(
    files: list[snapshot.DeclaredFile], bento: str, weights: str, owner: dict[str, int], root: str = ""
) -> list[Member]:
    """Return the weights of a Bento in the directory `bento`.

    The weights are in the directory `weights`, where a path depends on digest and name, or in `root` if it is set.
    """
    from rules_bento.bentos.sources import snapshot

    top = Member.directory(root, **owner) if root else description.home_directory(bento.strip("/"), owner)
    members = {top.path: top}
    for file in files:
        entry = snapshot.digest([file], is_model=True).entries[0]
        path = f"{root}/{file.path}" if root else description.place(weights, entry)
        member = Member.file(path, file.source, mode=entry.mode, size=entry.size, **owner)
        members[path] = member._replace(blake3=entry.blake3 or "")
    return [*members.values()]
