"""Pushes Bentos and models from the store to BentoCloud or Yatai: models first, and only missing entries."""

from __future__ import annotations

import threading

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.net import transfers
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence
from rules_bento.bentos.assembly.kinds import BENTO, MODEL

from bento_cli.sharing.cloud import documents
from bento_cli.sharing.cloud.client import Cloud, CloudPaths
from bento_cli.sharing.cloud.upload_to_cloud import Tarball, upload
from bento_cli.store import import_manifests, verification
from bento_cli.store.entry_store import Entry, models_of
from bento_cli.store.export import own_members
from bento_cli.store.home import Home, staging_lock

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.net.transfers import Progress
    from rules_bento.bentos.assembly.bento_yaml import Description, ModelReference


JOBS = 10
"""The number of parallel transfers, as in BentoML's client."""

_DONE = "success"


@dataclass(frozen=True)
class Sent:
    """The result of pushing one entry, with notes for the user."""

    tag: Tag
    sent: bool
    size: int  # size of the tar in bytes; 0 if the entry wasn't sent
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pushed:
    """The results of pushing an entry and its models."""

    main: Sent
    models: tuple[Sent, ...]


def push(
    home: Home,
    entry: Entry,
    cloud: Cloud,
    counter: Progress,
    *,
    force: bool = False,
    check: bool = True,
    jobs: int = JOBS,
) -> Pushed:
    """Push an entry's models, then the entry. Skips entries that are complete on the server, unless `force` is set.

    Raises BentoError if `check` is true and a file differs from the manifest. Raises CloudError for an error response.
    """
    models = models_of(home, entry) if entry.kind is BENTO else []
    noted = import_manifests.ManifestCache(home)
    if check:
        verification.require_intact(home, [entry, *models], noted)
    tarballs = {each.path: Tarball(own_members(each)) for each in (entry, *models)}
    counter.expect_all(sum(tarball.size for tarball in tarballs.values()))
    pushing = _Pushing(home, cloud, tarballs, noted, force=force, jobs=jobs)
    with staging_lock(home):  # so that `bento gc` doesn't remove the records of uploads
        sent = transfers.parallel_map(lambda model: pushing.entry(model, counter), models, min(jobs, transfers.JOBS))
        for reference, entry_of_model in _of_hubs(entry.description) if entry.kind is BENTO else ():
            pushing.hub_model(reference, entry_of_model)
        return Pushed(pushing.entry(entry, counter, models), tuple(sent))


def _of_hubs(description: Description) -> list[tuple[ModelReference, dict[str, Any]]]:
    """Return each Hugging Face model that a Bento requires, together with the model's entry in bento.yaml."""
    entries = [*description.document["models"]]
    entries += [model for service in description.document["services"] for model in service["models"]]
    by_tag = {model["tag"]: model for model in entries}
    return [
        (reference, by_tag[reference.tag]) for reference in description.models if reference.registry == "huggingface"
    ]


class _Pushing:
    """Client that pushes entries to one server."""

    def __init__(
        self,
        home: Home,
        cloud: Cloud,
        tarballs: Mapping[Path, Tarball],
        noted: import_manifests.ManifestCache,
        *,
        force: bool,
        jobs: int,
    ) -> None:
        self._home = home
        self._cloud = cloud
        self._force = force
        self._jobs = jobs
        self._tarballs = tarballs
        self._noted = noted
        self._lock = threading.Lock()  # two versions of one model would create its repository twice

    def entry(self, entry: Entry, counter: Progress, models: Sequence[Entry] = ()) -> Sent:
        """Push an entry. `models` are the models of a Bento. All these models must already be on the server."""
        paths = CloudPaths(entry.kind, entry.tag)
        digest = documents.digest_of(self._noted, entry)
        self._have_repository(paths)
        remote = self._cloud.find(paths.version, what=f"{paths}")
        tarball = self._tarballs[entry.path]
        if not self._force and remote is not None and remote.get("upload_status") == _DONE:
            counter.advance(tarball.size, is_moved=False)
            return self._known(entry, remote, digest)
        if entry.kind is BENTO:
            document = documents.bento(entry, entry.description, models, digest, new=remote is None)
        else:
            document = documents.model(entry, digest)
        if remote is None:
            remote = self._create(paths, document)
        elif entry.kind is BENTO:
            remote = self._cloud.ask("PATCH", paths.version, document, what=f"{paths}")
        upload(self._cloud, self._home, paths, tarball, remote, digest, counter, self._jobs)
        return Sent(entry.tag, sent=True, size=tarball.size)

    def hub_model(self, reference: ModelReference, declared: dict[str, Any]) -> None:
        """Register a model from Hugging Face Hub on the server if necessary. Doesn't upload model files."""
        paths = CloudPaths(MODEL, Tag.parse(reference.tag, "models"))
        self._have_repository(paths)
        if self._cloud.find(paths.version, what=f"{paths}") is None:
            self._create(paths, documents.huggingface(reference, declared))

    def _have_repository(self, paths: CloudPaths) -> None:
        with self._lock:
            if self._cloud.find(paths.repository, what=f"{paths}") is None:
                document = {"name": paths.tag.name, "description": ""}
                self._cloud.create(paths.repositories, paths.repository, document, what=f"{paths}")

    def _create(self, paths: CloudPaths, document: dict[str, Any]) -> dict[str, Any]:
        return self._cloud.create(paths.versions, paths.version, document, what=f"{paths}")

    def _known(self, entry: Entry, remote: dict[str, Any], digest: str) -> Sent:
        note = f"{entry.tag}: {self._cloud} has different contents for this tag. To replace the contents, use --force."
        return Sent(entry.tag, sent=False, size=0, notes=(note,) if label_in(remote) not in ("", digest) else ())


def label_in(remote: dict[str, Any]) -> str:
    """Return the digest in an entry's labels, or an empty string if the labels contain no digest."""
    labels = remote.get("labels")
    for label in labels if isinstance(labels, list) else ():
        if isinstance(label, dict) and label.get("key") == documents.DIGEST_LABEL:
            return str(label.get("value"))
    return ""
