"""Plans the layers of `bento image --hugging-face` for projects: models in the cache of the library huggingface_hub.

As in this cache, links lead to files of 2 MiB or more. Each has its own layer, which the next commit keeps.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path
from posixpath import dirname, relpath
from tempfile import TemporaryDirectory
from urllib.parse import quote

from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import outside
from rules_bento.base.net.transfers import parallel_map
from rules_bento.base.own_files import digest_path
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Mapping, Sequence
from rules_bento.bentos.assembly.model_refs import HUB
from rules_bento.bentos.models.model import HUB_CACHE
from rules_bento.images.layers.layer import write_files_layer
from rules_bento.images.layers.members import LARGE
from rules_bento.images.plan import HOME, LINK_READERS, OWNER, Packing, PlannedLayer, weights_groups

from bento_cli import transports
from bento_cli.sharing.huggingface import Hub, pin
from bento_cli.sharing.native_cache import read_record
from bento_cli.transports.address import RefusedError
from bento_cli.transports.address import parse as parse_address

if TYPE_CHECKING:
    from rules_bento.base.formats.oci import Layer

    from bento_cli.sharing.native_build import BuildWorkspace

_OPTION, _JOBS = "--hugging-face", 4


class HubFile(NamedTuple):
    """A file of a commit, with its path in the repository."""

    model: str
    commit: str
    path: str
    sha256: str
    size: int


def plan(workspace: BuildWorkspace) -> list[PlannedLayer]:
    """Return the layers with the models in `--hugging-face`. Requests lists of files that the cache lacks.

    Raises BentoError for an invalid value or response.
    """
    commits: dict[str, str] = {}
    for each in workspace.values("hugging-face"):
        if each.model or commits.setdefault(each.repository, each.commit) != each.commit:
            name = f"{each.model}={each.repository}" if each.model else each.repository
            problem = f"expected ORGANIZATION/NAME@COMMIT, with one commit of each model, got another value for {name}"
            raise BentoError(problem, place=each.place, remedy="Correct the value.")
    alone, others = dict[str, HubFile](), dict[str, HubFile]()
    own = [Member.inline(f"{_directory(model)}/refs/main", text.encode(), **OWNER) for model, text in commits.items()]
    for model, commit in sorted(commits.items()):
        files = [*list_files(workspace, model, commit)]
        has_links = not any(file.path.endswith(LINK_READERS) for file in files)
        for file in files:
            path = f"{_directory(model)}/snapshots/{commit}/{file.path}"
            if file.size < LARGE or not has_links:
                others[path] = file
            else:
                alone[blob := f"{_directory(model)}/blobs/{file.sha256}"] = file
                own.append(Member.symlink(path, relpath(blob, dirname(path)), **OWNER))
    groups = [{path: alone[path] for path in group} for group in weights_groups([*alone])]
    layers = [_layer(workspace, ", ".join(file.path for file in group.values()), group, []) for group in groups]
    return [*layers, _layer(workspace, "small files of models", others, own)] if commits else []


def directories(workspace: BuildWorkspace) -> list[str]:
    """Return the directories of the models in `--hugging-face`."""
    return [f"/{_directory(each.repository)}" for each in workspace.values("hugging-face")]


def _directory(model: str) -> str:
    return f"{HOME[1:]}/{HUB_CACHE}/models--{model.replace('/', '--')}"


def list_files(workspace: BuildWorkspace, model: str, commit: str) -> Iterator[HubFile]:
    """Yield the files of a commit, which are in the cache after the first build."""
    endpoint = os.environ.get("HF_ENDPOINT") or HUB

    def request() -> list[list[object]]:
        workspace.progress.begin(f"Reading {model}")
        found = pin(model, commit, endpoint=endpoint)
        if found.revision != commit:
            problem = f"the server has the commit {found.revision} instead of {commit}"
            raise BentoError(problem, place=_OPTION, remedy="Check the commit.")
        return [[path, sha256, found.sizes[path]] for path, sha256 in found.files.items()]

    key = hashlib.sha256(json.dumps([endpoint, model, commit]).encode()).hexdigest()
    for path, sha256, size in read_record(digest_path(workspace.cache / "models", key, ".json"), request):
        yield HubFile(model, commit, path, sha256, size)


def _layer(workspace: BuildWorkspace, title: str, files: Mapping[str, HubFile], own: Sequence[Member]) -> PlannedLayer:
    key = ["models", {path: file.sha256 for path, file in files.items()}, repr(own)]
    return PlannedLayer(title, key, partial(_prepare, workspace, files, own))


def _prepare(workspace: BuildWorkspace, files: Mapping[str, HubFile], own: Sequence[Member]) -> Packing:
    # writes: own, numbers in a new directory of the cache
    """Download the files of a layer. They aren't kept, because the cache has the layer."""
    hub = Hub.of_user(os.environ.get("HF_ENDPOINT") or HUB)
    workspace.progress.begin(f"Downloading {len(files)} files of models")
    workspace.progress.expect_all(sum(file.size for file in files.values()))
    scratch = workspace.stack.enter_context(temporary := TemporaryDirectory(".part", ".", workspace.cache / "models"))

    def download(number: int, place: str) -> Member:
        file, path = files[place], Path(scratch, str(number))
        address = parse_address(f"{hub.endpoint}/{file.model}/resolve/{file.commit}/{quote(file.path)}")
        assert address
        address = replace(address, token=hub.token or "")
        try:
            transports.download(address, path, workspace.progress, file.sha256, form=None)
        except RefusedError as error:
            remedy = f"Request access to {file.model}, and log in with `hf auth login`."
            raise BentoError(error.problem, place=error.place, remedy=remedy) from None
        return Member.file(place, str(path), **OWNER)

    def write(out: Path) -> Layer:
        layer = write_files_layer(out, [Member.directory(HOME[1:], **OWNER), *listed, *own], workspace.compression)
        outside(temporary.cleanup)  # before the next layer needs the space
        return layer

    listed = parallel_map(lambda item: download(*item), enumerate(files), _JOBS)
    return Packing([scratch], write)
