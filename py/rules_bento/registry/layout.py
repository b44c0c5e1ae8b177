"""Reads and writes OCI image layouts (`image-layout.md` of the OCI image specification)."""

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
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.pushable import FileSource, Pushable
from rules_bento.typing_lite import TYPE_CHECKING, Callable, Iterator

if TYPE_CHECKING:
    from pathlib import Path

# Annotations of `cosign save` for images, their signatures, and their attestations.
_KIND = "kind"
_COSIGN = "dev.cosignproject.cosign/"
_COSIGN_KINDS = {"sig": f"{_COSIGN}sigs", "att": f"{_COSIGN}atts"}
# Layer types of such manifests. Programs that ignore the annotations could run an image that has them.
_COSIGN_LAYERS = ("application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dsse.envelope.v1+json")
_COSIGN_TAG = re.compile(r"sha256-[0-9a-f]{64}\.(?:sig|att)")
COPY_AGAIN = "Copy the whole image into the layout again."
_MAX_BLOBS = 10_000  # searched for referrers
_MAX_REFERRER = 1 << 20  # bytes of a referrer's manifest


class Layout:
    """An OCI image layout on disk. Blobs can be missing, but existing blobs are complete."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @staticmethod
    def create(directory: Path) -> Layout:
        """Open or create the layout in a directory. Raises BentoError if the directory has files but no layout."""
        if directory.is_dir() and not (directory / "oci-layout").exists() and any(directory.iterdir()):
            raise BentoError(
                f"{directory}: the directory contains files, but isn't an OCI layout. Use another directory."
            )
        layout = Layout(directory)
        (directory / "blobs").mkdir(parents=True, exist_ok=True)
        if not (directory / "index.json").exists():
            layout._write_index([])
            _write(directory / "oci-layout", LAYOUT)
        return layout

    @staticmethod
    def open(directory: Path) -> Layout:
        """Return the existing layout in a directory. Raises BentoError if the directory isn't a layout."""
        try:
            version = read_json(_read(directory / "oci-layout"), str(directory))["imageLayoutVersion"]
        except (OSError, FormatError, KeyError, TypeError):
            raise BentoError(
                f"{directory}: no valid oci-layout file. Specify the directory of an OCI layout."
            ) from None
        if not str(version).startswith("1."):
            raise BentoError(f"{directory}: unsupported OCI layout version {version}. Use version 1.0.0.")
        return Layout(directory)

    def blob(self, digest: str) -> Path:
        """Return the path of a blob. The file might not exist."""
        algorithm, _, name = digest.partition(":")
        return self.directory / "blobs" / algorithm / name

    def has(self, blob: Descriptor) -> bool:
        """Return whether the layout contains a blob with this digest and size."""
        try:
            there = self.blob(blob.digest).stat()
        except OSError:
            return False
        return stat.S_ISREG(there.st_mode) and there.st_size == blob.size

    def add(self, content: bytes) -> None:
        """Write a small blob to the layout."""
        _write(self.blob(oci.digest_of(content)), content)

    def manifest(self, digest: str, media_type: str = "") -> Manifest:
        """Return a manifest, and verify its digest. Raises BentoError for a missing or invalid manifest."""
        content = self._verified(digest, "manifest")
        return Manifest.read(content, media_type, str(self.blob(digest)))

    def _verified(self, digest: str, what: str) -> bytes:
        path = self.blob(digest)
        try:
            content = _read(path)
        except OSError:
            raise BentoError(f"{self.directory}: missing {what} {digest}. {COPY_AGAIN}") from None
        return oci.verify(content, digest, str(path))

    def index(self) -> list[Descriptor]:
        """Return the entries of index.json. Raises BentoError if the file is missing or invalid."""
        path = self.directory / "index.json"
        try:
            return Manifest.read(_read(path), oci.INDEX, str(path)).children()
        except OSError as error:
            raise BentoError(f"{path}: cannot read the file: {error.strerror}. {COPY_AGAIN}") from None

    def read(self, blob: Descriptor) -> bytes:
        """Return the verified content of a blob. Raises BentoError if the blob is missing, invalid, or too large."""
        if blob.size > limits.DOCUMENT:
            raise BentoError(
                f"{self.blob(blob.digest)}: the blob has {blob.size} bytes, but the limit is {limits.DOCUMENT}. Report "
                "the error to the artifact's publisher."
            )
        return self._verified(blob.digest, "blob")

    def check(self, root: Manifest) -> int:
        """Verify and count the manifests and blobs of `root`. Raises BentoError for an invalid manifest or blob."""
        manifests = [root, *self._children(root)]
        blobs = {blob.digest: blob for manifest in manifests for blob in manifest.blobs()}
        for blob in blobs.values():
            if not self.has(blob):
                raise BentoError(f"{self.directory}: missing blob {blob.digest} ({blob.size} bytes). {COPY_AGAIN}")
            FileSource(self.blob(blob.digest)).check(blob.digest, blob.size)
        return len(manifests) + len(blobs)

    def find(self, name: str = "") -> Manifest:
        """Find an image by name or digest (default: the only image). Raises BentoError unless exactly one matches."""
        index = [entry for entry in self.index() if not self._is_attachment(entry)]
        entries = {entry.digest: entry for entry in index if name in ("", entry.digest, _name_of(entry))}
        if len(entries) != 1:
            if not index:
                raise BentoError(f"{self.directory}: the layout contains no image. {COPY_AGAIN}")
            listed = ", ".join(sorted(_name_of(entry) or entry.digest for entry in index))
            raise BentoError(
                f"{self.directory}: expected one image{name and f' named {name!r}'}, got {len(entries)}. Specify one "
                f"of: {listed}."
            )
        [entry] = entries.values()
        return self.manifest(entry.digest, entry.media_type)

    def add_manifest(self, manifest: Manifest, name: str = "") -> None:
        """Write a manifest, and add it to the index.

        Removes existing entries named `name`. If `name` is empty, removes unnamed entries with the same digest.
        """
        self.add(manifest.content)
        others = [
            entry
            for entry in self.index()
            if (_name_of(entry) != name if name else entry.digest != manifest.descriptor.digest or _name_of(entry))
        ]
        annotations = {REFERENCE: name} if name else {}
        described = manifest.descriptor
        entry = Descriptor(described.media_type, described.digest, described.size, annotations, described.artifact_type)
        self._write_index([*others, entry])

    def _is_attachment(self, entry: Descriptor) -> bool:
        """Return whether an entry refers to signatures or attestations. Raises BentoError for an invalid annotation."""
        if entry.annotations.get(_KIND) not in _COSIGN_KINDS.values():
            return False
        name, path = _name_of(entry), self.blob(entry.digest)
        try:
            content = oci.verify(_read(path), entry.digest, str(path))
        except (OSError, BentoError):  # not runnable
            content = b""
        try:
            layers = Manifest.read(content, entry.media_type, str(path)).layers() if content else []
            is_signed = not content or (bool(layers) and all(layer.media_type in _COSIGN_LAYERS for layer in layers))
        except BentoError:
            is_signed = False
        if not is_signed or (name and not _COSIGN_TAG.fullmatch(name)):
            raise BentoError(
                f"{self.directory}: {name or entry.digest} is annotated as {entry.annotations[_KIND]}, but isn't the "
                "manifest of a signature or attestation. Remove the entry from index.json."
            )
        return True

    def attached_manifests(self, kind: str, name: str) -> Iterator[Callable[[], Manifest]]:
        """For each manifest of `kind` (`sig` or `att`) with the name `name` or no name, yield a function to read it."""
        listed = {
            entry.digest: entry
            for entry in self.index()
            if entry.annotations.get(_KIND) == _COSIGN_KINDS[kind] and _name_of(entry) in ("", name)
        }
        return (partial(self.manifest, entry.digest, entry.media_type) for entry in listed.values())

    def attach(self, manifest: Manifest, subject: str, kind: str, name: str) -> None:
        """Add a manifest that refers to `subject`. `kind` is `sig` (signatures), `att` (attestations), or empty.

        If `kind` is set, adds an entry named `name` to the index. This entry replaces entries of the same kind that
        have the same name or no name.
        """
        self.add(manifest.content)
        entries = []
        for entry in self.index():
            if entry.digest == subject and _KIND not in entry.annotations:  # cosign requires the annotation
                signed = "imageIndex" if entry.media_type in oci.INDEXES else "image"
                entry = replace(entry, annotations={**entry.annotations, _KIND: f"{_COSIGN}{signed}"})
            if not kind or entry.annotations.get(_KIND) != _COSIGN_KINDS[kind] or _name_of(entry) not in ("", name):
                entries.append(entry)
        if kind:
            annotations = {_KIND: _COSIGN_KINDS[kind], REFERENCE: name}
            entries.append(replace(manifest.descriptor, annotations=annotations))
        self._write_index(entries)

    def referrers(self, digest: str, media_type: str) -> Iterator[Manifest]:
        """Yield manifests with the subject `digest` and a layer whose media type begins with `media_type`."""
        directory = self.blob(digest).parent
        paths = sorted(path for path in directory.iterdir() if path.is_file()) if directory.is_dir() else []
        for path in paths[:_MAX_BLOBS]:
            if path.stat().st_size > _MAX_REFERRER:
                continue
            content = path.read_bytes()
            if not content.startswith(b"{") or digest.encode() not in content:
                continue
            try:
                manifest = Manifest.read(oci.verify(content, f"sha256:{path.name}", str(path)), "", str(path))
                is_one = manifest.subject is not None and manifest.subject.digest == digest
            except BentoError:  # a blob that isn't a manifest
                continue
            if is_one and any(layer.media_type.startswith(media_type) for layer in manifest.layers()):
                yield manifest

    def pushable(self, name: str = "") -> Pushable:
        """Return the image that `find` selects, with a source for each blob that the layout contains."""
        root = self.find(name)
        children = self._children(root)
        blobs = [blob for manifest in (*children, root) for blob in manifest.blobs() if self.has(blob)]
        return Pushable(root, children, {blob.digest: FileSource(self.blob(blob.digest)) for blob in blobs})

    def _children(self, root: Manifest) -> list[Manifest]:
        return oci.collect_manifests(root.children(), lambda entry: self.manifest(entry.digest, entry.media_type))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the index of the layout during the `with` block."""
        import fcntl

        with (self.directory / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write_index(self, entries: list[Descriptor]) -> None:
        manifests = [entry.to_json() for entry in entries]
        document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": manifests}
        _write(self.directory / "index.json", oci.to_bytes(document))


def _name_of(entry: Descriptor) -> str:
    return entry.annotations.get(REFERENCE, "")


def _read(path: Path) -> bytes:
    """Return the content of a regular file in a layout. Raises OSError for other files, such as a pipe."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "file not found")
    return read_file(path)


def _write(path: Path, content: bytes) -> None:
    from rules_bento.archives.atomic import atomic_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
