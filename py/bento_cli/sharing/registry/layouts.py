"""Writes entries to OCI layouts, and adds the entries of a layout to the store.

A layout is a directory (`oci:DIR`), or a tar archive of such a directory (`oci-archive:FILE`). The index lists the
artifact of each entry by its tag. The layout contains each blob once, so Bentos share the blobs of their models.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rules_bento.base.archives import tarstream
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import LAYOUT, REFERENCE, blob_path
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Sequence
from rules_bento.bentos.assembly.kinds import BENTO, Kind
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry import docker_archive
from rules_bento.images.registry.blob_sources import Pushable, verified_pieces
from rules_bento.images.registry.layout import Layout, index_content

from bento_cli.sharing.registry import OCI_ARCHIVE, OCI_DIRECTORY, packing
from bento_cli.sharing.registry.pull_entry import PulledArtifact
from bento_cli.store import export, verification
from bento_cli.store.entry_store import Entry, EntryStore, models_of
from bento_cli.store.home import Home, staged_directory
from bento_cli.store.import_session import Imported, Options, import_session

if TYPE_CHECKING:
    from rules_bento.base.archives.unpack import Advance
    from rules_bento.images.registry.descriptor import Descriptor, Manifest
    from rules_bento.images.registry.docker_archive import ImageArchive


_CHANGED = "A file in the store changed during the push. Run the push again."


def push(
    home: Home, entries: Sequence[Entry], target: str, progress: Advance | None = None, *, check: bool = True
) -> list[Manifest]:
    """Write the artifacts of entries, and the models of Bentos, to a layout. Keeps the contents of a directory.

    If `check` is true, verifies all files first. Raises BentoError if a model is missing, or the layout can't be
    written.
    """
    models = {entry.path: models_of(home, entry) if entry.kind is BENTO else [] for entry in entries}
    if check:
        everything = [*entries, *(model for each in models.values() for model in each)]
        verification.require_intact(home, list({entry.path: entry for entry in everything}.values()))
    parts: dict[Path, artifact.Part] = {}
    packages: dict[str, Pushable] = {}
    with ExitStack() as stack:
        for entry in sorted(entries, key=lambda entry: entry.tag):
            package = packing.EntryArtifact(home, entry, models[entry.path]).packed(parts)
            packages[str(entry.tag)] = stack.enter_context(package)
        if target.startswith(OCI_ARCHIVE):
            _write_archive(Path(target.removeprefix(OCI_ARCHIVE)), packages, progress)
        else:
            write_directory(Path(target.removeprefix(OCI_DIRECTORY)), packages, progress)
    return [packages[str(entry.tag)].root for entry in entries]


def write_directory(directory: Path, packages: dict[str, Pushable], progress: Advance | None) -> None:
    """Write packages to an OCI layout, each by its name."""
    try:
        layout = Layout.create(directory)
        for blob, pieces in _blobs(packages, progress):
            if not layout.has(blob):
                layout.write(blob.digest, pieces)
        with layout.lock():
            for name, package in packages.items():
                layout.add_manifest(package.root, name)
    except OSError as error:
        problem = f"cannot write the layout: {error.strerror or error}"
        raise BentoError(problem, place=str(directory), remedy="Check the permissions and the disk space.") from error


def _write_archive(path: Path, packages: dict[str, Pushable], progress: Advance | None) -> None:
    index = [replace(package.root.descriptor, annotations={REFERENCE: name}) for name, package in packages.items()]
    roots = [package.root for package in packages.values()]
    manifests = {blob_path(root.descriptor.digest): root.content for root in roots}
    with export.whole(path) as file:
        documents = {"oci-layout": LAYOUT, "index.json": index_content(index), **manifests}
        file.writelines(tarstream.stream([Member.inline(name, content) for name, content in documents.items()]))
        for blob, pieces in _blobs(packages, progress):
            file.write(tarstream.header(Member.file(blob_path(blob.digest), "", size=blob.size)))
            file.writelines(pieces)
            file.write(bytes(-blob.size % tarstream.RECORD))
        file.write(tarstream.END)


def _blobs(
    packages: dict[str, Pushable], progress: Advance | None
) -> Iterator[tuple[Descriptor, Iterator[bytes | memoryview]]]:
    """Yield each distinct blob of the packages, with its verified contents."""
    blobs = {
        blob.digest: (blob, package.sources[blob.digest]) for package in packages.values() for blob in package.blobs()
    }
    for digest, (blob, source) in sorted(blobs.items()):
        yield blob, verified_pieces(source, digest, blob.size, _CHANGED)
        if progress:
            progress(blob.size)


def pull(
    home: Home, kind: Kind, source: str, options: Options | None = None, progress: Advance | None = None
) -> list[Imported]:
    """Add all Bentos, with their models, or all models in a layout to the store.

    Keeps entries that the store contains with the same contents. If an entry is invalid, or the store contains another
    entry with the same tag and `options.replace` isn't set, raises BentoError and adds no entries.
    """
    options = options or Options()
    found, known, staged = [], [], []
    digests: dict[str, str] = {}  # of staged models
    with _opened(home, source) as layout, import_session(home, options) as session:
        artifacts = [*_artifacts(layout, kind, source)]
        if len(artifacts) > 1:  # the user names none of them
            session.options = replace(options, act="pull")
        for each in artifacts:
            stored = each.compare(home, options)
            known += [*stored.models, *filter(None, [stored.main])]
            new = {model.tag: model.blake3 for model in each.models if model.tag in stored.missing}
            new = {tag: digest for tag, digest in new.items() if digests.get(tag) != digest}
            digests |= new
            found.append((each.tag, {*map(str, (one.tag for one in stored.models)), *(stored.missing - new.keys())}))
            if stored.main is None or stored.missing or session.options.act == "import":
                layers = (layout.source(layer).verified_pieces(layer.digest, layer.size) for layer in each.layers(new))
                staged.append(each.stage(session, [*layers], progress))
        done = {each.entry.tag: each for each in session.commit(staged, known)}
    results = []
    for tag, models in found:
        one = done.get(tag) or Imported(EntryStore(home, kind).get(str(tag)), (), (), (), new=False)
        results.append(replace(one, known=tuple(Tag.parse(model, "models") for model in sorted(models))))
    return results


def _artifacts(layout: Layout | ImageArchive, kind: Kind, source: str) -> Iterator[PulledArtifact]:
    """Yield the artifacts of a kind. Raises BentoError if the layout contains none."""
    wanted = artifact.BENTO_CONFIG if kind is BENTO else artifact.MODEL_CONFIG
    manifests = oci.collect_manifests(layout.index(), lambda entry: layout.manifest(entry.digest, entry.media_type))
    chosen = [each for each in manifests if not each.is_index and each.config.media_type == wanted]
    for manifest in chosen:
        yield PulledArtifact.read(kind, manifest, layout.read(manifest.config), source)
    if not chosen:
        remedy = "To pull models, use `bento models pull`." if kind is BENTO else "To pull Bentos, use `bento pull`."
        raise BentoError(f"the layout contains no {kind.noun}", place=source, remedy=remedy)


@contextmanager
def _opened(home: Home, source: str) -> Iterator[Layout | ImageArchive]:
    """Open a layout. Copies an archive on standard input to a temporary file in the store first."""
    if source.startswith(OCI_DIRECTORY):
        yield Layout.open(Path(source.removeprefix(OCI_DIRECTORY)))
    elif source.startswith(OCI_ARCHIVE):
        with docker_archive.opened(Path(source.removeprefix(OCI_ARCHIVE)), "`bento push`") as archive:
            yield archive
    else:
        with staged_directory(home) as directory:
            copy = directory / "archive"
            with copy.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            with docker_archive.opened(copy, "`bento push`") as archive:
                yield archive
