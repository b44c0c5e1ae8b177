"""Entries of the store as artifacts, with the config and the models' blobs that `bento_push` gives the same Bento.

What a Bento has beside its models may be cut into parts elsewhere: who built it knows which of its files were made.
"""

from __future__ import annotations

from contextlib import contextmanager

from rules_bento.archives.archive import write_part
from rules_bento.hints import TYPE_CHECKING
from rules_bento.sharing.registry import artifact, streamed
from rules_bento.sharing.registry.artifact import ModelPart, Part
from rules_bento.sources.manifest import Entry as File
from rules_bento.sources.manifest import Manifest
from rules_bento.store import descriptors, locks, records
from rules_bento.store.home import BENTO, unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rules_bento.archives.tarstream import Member
    from rules_bento.models.model import ModelDescription
    from rules_bento.registry.push import Package
    from rules_bento.sharing.registry.artifact import BentoFacts
    from rules_bento.store.entries import Entry
    from rules_bento.store.home import Home

_SOURCES = "src/"
_MODELS = "models/"


@contextmanager
def packed(home: Home, entry: Entry, models: Sequence[Entry]) -> Iterator[Package]:
    """The artifact of an entry, with the models of a Bento; its small parts are on the disk while the block lasts."""
    import shutil

    with locks.staging(home):
        folder = unique(home.staging)
        folder.mkdir(mode=0o700, parents=True)
        try:
            yield _bento(home, entry, models, folder) if entry.kind is BENTO else _model(home, entry, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def facts_of(home: Home, entry: Entry, models: Sequence[Entry]) -> BentoFacts:
    """Return what a Bento's artifact would say of it. Files are read only where their digests were not recorded."""
    from rules_bento.bento.identity import content_identity
    from rules_bento.formats.yaml import read_mapping

    document = read_mapping(_descriptor(entry), str(entry.path / BENTO.descriptor))
    files = [file for file in _files(home, entry).entries if file.path != BENTO.descriptor]
    described = tuple(describe(home, model) for model in models)
    digest = content_identity(document, files, described).hex()
    return artifact.BentoFacts(document, f"blake3:{digest}", described)


def describe(home: Home, model: Entry) -> ModelDescription:
    """Return the description of a model for artifacts."""
    from rules_bento.models import model_store

    return model_store.describe(model.path, model.tag, _files(home, model))


def _bento(home: Home, entry: Entry, models: Sequence[Entry], folder: Path) -> Package:
    facts = facts_of(home, entry, models)
    members = [member for member in _members(entry.path) if not member.path.startswith(_MODELS)]
    own = [member for member in members if not member.path.startswith(_SOURCES)]
    own.sort(key=lambda member: member.path != BENTO.descriptor)  # first, so that who streams it knows what comes
    sources = [member for member in members if member.path.startswith(_SOURCES)]
    parts = [_part(own, folder / "metadata"), _part(sources, folder / "sources")]
    described = zip(facts.models, models, strict=True)
    return artifact.pack_bento(
        _descriptor(entry),
        facts.digest,
        parts,
        [_model_part(model, description, folder) for description, model in described],
    )


def _model(home: Home, entry: Entry, folder: Path) -> Package:
    return artifact.pack_model(_model_part(entry, describe(home, entry), folder))


def _model_part(model: Entry, description: ModelDescription, folder: Path) -> ModelPart:
    members = _members(model.path, f"{_MODELS}{model.tag.name}/{model.tag.version}/")
    part = _part(members, folder / f"{model.tag.name}-{model.tag.version}.model")
    return ModelPart(description, *part)


def _part(members: Sequence[Member], path: Path) -> Part:
    """The members as a part: written to the path, or made when it is sent."""
    if streamed.fits(members):
        source = streamed.StreamedPart(members)
        return Part(source, source.measure())
    return Part(path, write_part(path, members))


def _descriptor(entry: Entry) -> bytes:
    return descriptors.read(entry.kind, entry.path / entry.kind.descriptor)


def _members(folder: Path, prefix: str = "") -> list[Member]:
    """All below a folder, by path; of folders only those that nothing is in."""
    from rules_bento.store.exporting import walk

    members = list(walk(folder, prefix))
    parents = {member.path.rpartition("/")[0] for member in members}
    kept = [member for member in members if not (member.is_directory and member.path in parents)]
    return sorted(kept, key=lambda member: member.path)


def _files(home: Home, entry: Entry) -> Manifest:
    """The files of an entry with their digests, as they were noted when it came, else as they are."""
    noted = records.read(home, entry.kind, entry.tag, entry.path)
    if noted is not None:
        return noted
    files = [_file(member) for member in _members(entry.path)]
    return Manifest.of(file for file in files if file and not (entry.kind is BENTO and file.path.startswith(_MODELS)))


def _file(member: Member) -> File | None:
    if member.link is not None:
        return File.of_link(member.path, member.link)
    return File.of_file(member.path, member.source, member.path) if member.source else None
