"""OCI image layouts: a folder of blobs and an index (OCI image specification 1.1, `image-layout.md`)."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import contextmanager
from functools import partial

from rules_bento.dataclasses_lite import replace
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file
from rules_bento.formats.json import read_json
from rules_bento.formats.oci import LAYOUT, REFERENCE
from rules_bento.net import limits
from rules_bento.registry import descriptor as oci
from rules_bento.registry.blob_sources import FileSource
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.pushable import Package
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# How `cosign save` marks the entries of a layout: what is signed, and what stands beside it.
_KIND = "kind"
_COSIGN = "dev.cosignproject.cosign/"
_BESIDE = {"sig": f"{_COSIGN}sigs", "att": f"{_COSIGN}atts"}
# What the layers of such a manifest are: programs that don't know the mark would run an image that is marked so.
_SIGNED = ("application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dsse.envelope.v1+json")
_TAG = re.compile(r"sha256-[0-9a-f]{64}\.(?:sig|att)")
_MOST_BLOBS = 10_000  # that are looked at for what refers to another
_MOST_REFERRER = 1 << 20  # bytes of the manifest of one


class Layout:
    """Reads and writes a layout on disk. Some of its blobs may be missing; those that are there are whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def create(folder: Path) -> Layout:
        """Return the layout at a folder, begun there if there is none. Raises BentoError if something else is there."""
        if folder.is_dir() and not (folder / "oci-layout").exists() and any(folder.iterdir()):
            raise BentoError(f"{folder}: is there, and is not an OCI layout. Name another folder.")
        layout = Layout(folder)
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        if not (folder / "index.json").exists():
            layout._write_index([])
            _replace(folder / "oci-layout", LAYOUT)
        return layout

    @staticmethod
    def open(folder: Path) -> Layout:
        """Return the layout at a folder. Raises BentoError if there is none."""
        try:
            version = read_json(_read(folder / "oci-layout"), str(folder))["imageLayoutVersion"]
        except (OSError, FormatError, KeyError, TypeError):
            raise BentoError(f"{folder}: is not an OCI layout: no oci-layout file with a version is in it.") from None
        if not str(version).startswith("1."):
            raise BentoError(f"{folder}: is an OCI layout of version {version}; known is 1.0.0.")
        return Layout(folder)

    def blob(self, digest: str) -> Path:
        """Return the path of a blob, whether it is there or not."""
        algorithm, _, name = digest.partition(":")
        return self.folder / "blobs" / algorithm / name

    def has(self, blob: Descriptor) -> bool:
        """Return whether the blob is there, with its size."""
        try:
            there = self.blob(blob.digest).stat()
        except OSError:
            return False
        return stat.S_ISREG(there.st_mode) and there.st_size == blob.size

    def add(self, content: bytes) -> None:
        """Write a small blob to the layout."""
        _replace(self.blob(oci.digest_of(content)), content)

    def manifest(self, digest: str, media_type: str = "") -> Manifest:
        """Return a manifest, verified. Raises BentoError if it is not there."""
        path = self.blob(digest)
        try:
            content = _read(path)
        except OSError:
            raise BentoError(f"{self.folder}: the manifest {digest} is not in this layout.") from None
        return Manifest.read(oci.verify(content, digest, str(path)), media_type, str(path))

    def index(self) -> list[Descriptor]:
        """Return what index.json lists. Raises BentoError for one that cannot be read."""
        path = self.folder / "index.json"
        try:
            return Manifest.read(_read(path), oci.INDEX, str(path)).children()
        except OSError as error:
            raise BentoError(f"{path}: cannot be read: {error.strerror}.") from None

    def read(self, blob: Descriptor) -> bytes:
        """Return a small blob, verified. Raises BentoError if it is not there, for another, and for a large one."""
        path = self.blob(blob.digest)
        if blob.size > limits.DOCUMENT:
            raise BentoError(f"{path}: has {blob.size} bytes; {limits.DOCUMENT} are read of such a one.")
        try:
            content = _read(path)
        except OSError:
            raise BentoError(f"{self.folder}: the blob {blob.digest} is not in this layout.") from None
        return oci.verify(content, blob.digest, str(path))

    def check(self, root: Manifest) -> int:
        """Verify all that a manifest refers to by digest; return the number of blobs and manifests.

        Raises BentoError for one that is missing, or another than it should be.
        """
        manifests = [root, *oci.descend(root.children(), lambda entry: self.manifest(entry.digest, entry.media_type))]
        blobs = {blob.digest: blob for manifest in manifests for blob in manifest.blobs()}
        for blob in blobs.values():
            if not self.has(blob):
                raise BentoError(f"{self.folder}: the blob {blob.digest} is not there with its {blob.size} bytes.")
            FileSource(self.blob(blob.digest)).check(blob.digest, blob.size)
        return len(manifests) + len(blobs)

    def find(self, name: str = "") -> Manifest:
        """Return the manifest of a name (or digest), or the only one there is. Raises BentoError for none, or several.

        Signatures and attestations beside an image are none by themselves; raises BentoError for an image that is
        marked as one.
        """
        index = [entry for entry in self.index() if not self._is_beside(entry)]
        entries = {entry.digest: entry for entry in index if name in ("", entry.digest, _name(entry))}
        if len(entries) != 1:
            listed = ", ".join(sorted(_name(entry) or entry.digest for entry in index)) or "nothing"
            raise BentoError(
                f"{self.folder}: {len(entries)} images are {name or 'there'!r}, one is wanted. It has: {listed}."
            )
        [entry] = entries.values()
        return self.manifest(entry.digest, entry.media_type)

    def record(self, manifest: Manifest, name: str = "") -> None:
        """List a manifest, whose bytes are put there, in index.json: alone under its name.

        Raises BentoError for an index.json that cannot be read.
        """
        self.add(manifest.content)
        others = [
            entry
            for entry in self.index()
            if (_name(entry) != name if name else entry.digest != manifest.descriptor.digest or _name(entry))
        ]
        annotations = {REFERENCE: name} if name else {}
        described = manifest.descriptor
        entry = Descriptor(described.media_type, described.digest, described.size, annotations, described.artifact_type)
        self._write_index([*others, entry])

    def _is_beside(self, entry: Descriptor) -> bool:
        """Return whether an entry of the index is marked as signatures or attestations, and can't be an image."""
        if entry.annotations.get(_KIND) not in _BESIDE.values():
            return False
        name, path = _name(entry), self.blob(entry.digest)
        try:
            content = oci.verify(_read(path), entry.digest, str(path))
        except (OSError, BentoError):  # no program can run it
            content = b""
        try:
            layers = Manifest.read(content, entry.media_type, str(path)).layers() if content else []
            is_signed = not content or (bool(layers) and all(layer.media_type in _SIGNED for layer in layers))
        except BentoError:
            is_signed = False
        if not is_signed or (name and not _TAG.fullmatch(name)):
            raise BentoError(
                f"{self.folder}: {name or entry.digest} is marked as {entry.annotations[_KIND]}, but isn't the "
                f"manifest of signatures or attestations. Remove it from index.json."
            )
        return True

    def beside(self, kind: str, name: str) -> Iterator[Callable[[], Manifest]]:
        """Yield readers of the signatures (`sig`) or attestations (`att`) of that name, or of none.

        Each raises BentoError for a manifest that is not there or invalid.
        """
        listed = {
            entry.digest: entry
            for entry in self.index()
            if entry.annotations.get(_KIND) == _BESIDE[kind] and _name(entry) in ("", name)
        }
        return (partial(self.manifest, entry.digest, entry.media_type) for entry in listed.values())

    def record_beside(self, manifest: Manifest, kind: str, name: str, subject: str) -> None:
        """List signatures or attestations of the manifest `subject`, in the place of those that are there.

        Raises BentoError for an index.json that cannot be read.
        """
        self.add(manifest.content)
        kept: list[Descriptor] = []
        for entry in self.index():
            known = entry.annotations.get(_KIND)
            if known == _BESIDE[kind] and _name(entry) in ("", name):
                continue
            if entry.digest == subject and not known:
                signed = "imageIndex" if entry.media_type in oci.INDEXES else "image"
                entry = replace(entry, annotations={**entry.annotations, _KIND: f"{_COSIGN}{signed}"})
            kept.append(entry)
        annotations = {_KIND: _BESIDE[kind], REFERENCE: name}
        self._write_index([*kept, replace(manifest.descriptor, annotations=annotations)])

    def referrers(self, digest: str, media_type: str) -> Iterator[Manifest]:
        """Yield the blobs that are manifests, refer to another and have a layer whose type begins with `media_type`."""
        folder = self.blob(digest).parent
        paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
        for path in paths[:_MOST_BLOBS]:
            if path.stat().st_size > _MOST_REFERRER:
                continue
            content = path.read_bytes()
            if not content.startswith(b"{") or digest.encode() not in content:
                continue
            try:
                manifest = Manifest.read(oci.verify(content, f"sha256:{path.name}", str(path)), "", str(path))
                is_one = manifest.subject is not None and manifest.subject.digest == digest
            except BentoError:  # a blob, and no manifest
                continue
            if is_one and any(layer.media_type.startswith(media_type) for layer in manifest.layers()):
                yield manifest

    def package(self, name: str = "") -> Package:
        """Return what `push` takes, for something that `find` found. A blob that is not there gets no source.

        Raises BentoError for a manifest that is not there.
        """
        root = self.find(name)
        children = oci.descend(root.children(), lambda entry: self.manifest(entry.digest, entry.media_type))
        blobs = [blob for manifest in (*children, root) for blob in manifest.blobs() if self.has(blob)]
        return Package(root, children, {blob.digest: FileSource(self.blob(blob.digest)) for blob in blobs})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others from changing index.json while the block runs."""
        import fcntl

        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write_index(self, entries: list[Descriptor]) -> None:
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": oci.INDEX}
        document["manifests"] = [entry.to_json() for entry in entries]
        _replace(self.folder / "index.json", oci.to_bytes(document))


def _name(entry: Descriptor) -> str:
    return entry.annotations.get(REFERENCE, "")


def _read(path: Path) -> bytes:
    """Return the bytes of a file of a layout. Raises OSError, too, for a pipe, whose other end nobody may ever open."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no file is there")
    return read_file(path)


def _replace(path: Path, content: bytes) -> None:
    """Have a file with the content, whole at every moment."""
    from rules_bento.archives.atomic import atomic_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
