"""Reads and writes OCI image layouts (`image-layout.md` of the OCI image specification)."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rules_bento.base.archives.atomic import atomic_file, locked_directory
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, read_file
from rules_bento.base.formats.json import read_json
from rules_bento.base.formats.oci import CONTAINERD_NAME, LAYOUT, REFERENCE, blob_path
from rules_bento.base.net import limits
from rules_bento.base.own_files import TreeWriter
from rules_bento.base.typing_lite import Iterable, Iterator, Sequence
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import FileSource, Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest

_KIND = "kind"  # annotation that cosign requires for a signed image
_SIGNED = "dev.cosignproject.cosign/"
COPY_AGAIN = "Copy the whole image into the layout again."
_MAX_BLOBS = 100_000  # searched for referrers
MAX_REFERRER = 64 << 10  # bytes of a referrer's manifest


class Layout:
    """An OCI image layout on disk. Blobs can be missing, but existing blobs are complete.

    Somebody else can have made the directory, so that only its own path can be a link: writes follow no link below it,
    and a link is an error in the place of `index.json` and `oci-layout`. Reads of blobs follow links, because digests
    verify what is read, and rules of others link blobs. With `follows_links`, all reads do: inputs of Bazel are links.

    >>> Layout.open(Path("image")).pushable().root.config.digest  # doctest: +SKIP
    'sha256:…'
    """

    def __init__(self, directory: Path, *, follows_links: bool = False) -> None:
        self.directory, self._follows_links = directory, follows_links

    @staticmethod
    def create(directory: Path) -> Layout:
        """Open or create the layout in a directory. Raises BentoError if the directory has files but no layout."""
        if directory.is_dir() and not (directory / "oci-layout").exists() and any(directory.iterdir()):
            problem = "the directory contains files, but isn't an OCI layout"
            raise BentoError(problem, place=str(directory), remedy="Use another directory.")
        layout = Layout(directory)
        with layout._open("blobs/sha256/_"):
            pass
        if not os.path.lexists(directory / "index.json"):
            layout._write_index([])
            layout._write("oci-layout", (LAYOUT,))
        return layout

    @staticmethod
    def open(directory: Path, *, follows_links: bool = False) -> Layout:
        """Return the existing layout in a directory. Raises BentoError if the directory isn't a layout."""
        layout = Layout(directory, follows_links=follows_links)
        try:
            version = read_json(layout._read("oci-layout"), str(directory))["imageLayoutVersion"]
        except (OSError, FormatError, KeyError, TypeError):
            problem = "no valid oci-layout file" if directory.exists() else "the directory doesn't exist"
            raise BentoError(problem, place=str(directory), remedy="Specify the directory of an OCI layout.") from None
        if not str(version).startswith("1."):
            problem = f"unsupported OCI layout version {version}"
            raise BentoError(problem, place=str(directory), remedy="Use version 1.0.0.")
        return layout

    def blob(self, digest: str) -> Path:
        """Return the path of a blob. The file might not exist."""
        return self.directory / blob_path(digest)

    def has(self, blob: Descriptor) -> bool:
        """Return whether the layout contains a blob with this digest and size."""
        try:
            there = self.blob(blob.digest).stat()
        except OSError:
            return False
        return stat.S_ISREG(there.st_mode) and there.st_size == blob.size

    def source(self, blob: Descriptor) -> FileSource:
        """Return the source of a blob. Raises BentoError if the blob is missing or has another size."""
        if not self.has(blob):
            problem = f"missing blob {blob.digest} ({blob.size} bytes)"
            raise BentoError(problem, place=str(self.directory), remedy=COPY_AGAIN)
        return FileSource(self.blob(blob.digest))

    def add(self, content: bytes) -> None:
        """Write a small blob to the layout."""
        self.write(oci.digest_of(content), (content,))

    def write(self, digest: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Write a blob to the layout."""
        self._write(blob_path(digest), pieces)

    def manifest(self, digest: str, media_type: str = "") -> Manifest:
        """Return a manifest, and verify its digest. Raises BentoError for a missing or invalid manifest."""
        content = self._verified(digest, "manifest")
        return Manifest.read(content, media_type, str(self.blob(digest)))

    def _verified(self, digest: str, what: str) -> bytes:
        path = self.blob(digest)
        try:
            content = _read_file(path)
        except OSError:
            raise BentoError(f"missing {what} {digest}", place=str(self.directory), remedy=COPY_AGAIN) from None
        return oci.verify(content, digest, str(path))

    def index(self) -> list[Descriptor]:
        """Return the entries of index.json. Raises BentoError if the file is missing or invalid."""
        path = self.directory / "index.json"
        try:
            return Manifest.read(self._read(path.name), oci.INDEX, str(path)).children()
        except OSError as error:
            raise BentoError(f"cannot read the file: {error.strerror}", place=str(path), remedy=COPY_AGAIN) from None

    def read(self, blob: Descriptor) -> bytes:
        """Return the verified content of a blob. Raises BentoError if the blob is missing, invalid, or too large."""
        if blob.size > limits.DOCUMENT:
            problem = f"the blob has {blob.size} bytes, but the limit is {limits.DOCUMENT}"
            remedy = "Report the error to the artifact's publisher."
            raise BentoError(problem, place=str(self.blob(blob.digest)), remedy=remedy)
        return self._verified(blob.digest, "blob")

    def check(self, root: Manifest) -> int:
        """Verify and count the manifests and blobs of `root`. Raises BentoError for an invalid manifest or blob."""
        manifests = [root, *self._children(root)]
        blobs = {blob.digest: blob for manifest in manifests for blob in manifest.blobs()}
        for blob in blobs.values():
            self.source(blob).check(blob.digest, blob.size)
        return len(manifests) + len(blobs)

    def find(self, name: str = "") -> Manifest:
        """Find an image by name or digest (default: the only image). Raises BentoError unless exactly one matches."""
        index = self.index()
        entries = {entry.digest: entry for entry in index if name in ("", entry.digest, _name_of(entry))}
        if len(entries) != 1:
            if not index:
                raise BentoError("the layout contains no image", place=str(self.directory), remedy=COPY_AGAIN)
            listed = ", ".join(sorted(_name_of(entry) or entry.digest for entry in index))
            problem = f"expected one image{name and f' named {name!r}'}, got {len(entries)}"
            raise BentoError(problem, place=str(self.directory), remedy=f"Specify one of: {listed}.")
        [entry] = entries.values()
        return self.manifest(entry.digest, entry.media_type)

    def add_manifest(self, manifest: Manifest, name: str = "", *, is_image: bool = False) -> None:
        """Write a manifest, and add it to the index.

        With `is_image`, containerd's tools also import the image as `name`. Removes existing entries named `name`. If
        `name` is empty, removes unnamed entries with the same digest.
        """
        self.add(manifest.content)
        others = [
            entry
            for entry in self.index()
            if (_name_of(entry) != name if name else entry.digest != manifest.descriptor.digest or _name_of(entry))
        ]
        annotations = ({REFERENCE: name} if name else {}) | ({CONTAINERD_NAME: name} if is_image else {})
        self._write_index([*others, replace(manifest.descriptor, annotations=annotations)])

    def attach(self, manifest: Manifest) -> None:
        """Add a manifest that refers to a subject, and annotate the subject as cosign requires."""
        self.add(manifest.content)
        assert manifest.subject
        entries = []
        for entry in self.index():
            if entry.digest == manifest.subject.digest and _KIND not in entry.annotations:
                signed = "imageIndex" if entry.media_type in oci.INDEXES else "image"
                entry = replace(entry, annotations={**entry.annotations, _KIND: f"{_SIGNED}{signed}"})
            entries.append(entry)
        self._write_index(entries)

    def referrers(self, digest: str, media_type: str) -> Iterator[Manifest]:
        """Yield manifests with the subject `digest` and a layer whose media type begins with `media_type`."""
        directory = self.blob(digest).parent
        paths = sorted(path for path in directory.iterdir() if path.is_file()) if directory.is_dir() else []
        for path in paths[:_MAX_BLOBS]:
            if path.stat().st_size > MAX_REFERRER:
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

    def lock(self) -> AbstractContextManager[None]:
        """Lock the index of the layout during the `with` block."""
        return locked_directory(self.directory)  # writes: output, which exists

    def _write_index(self, entries: list[Descriptor]) -> None:
        self._write("index.json", (index_content(entries),))

    def _write(self, path: str, pieces: Iterable[bytes | memoryview]) -> None:  # writes: output, below a descriptor
        with self._open(path) as parent, atomic_file(self.directory / path, directory=parent) as file:
            os.fchmod(file.fileno(), 0o644)
            file.writelines(pieces)

    @contextmanager
    def _open(self, path: str) -> Iterator[int]:
        """Yield a descriptor of the parent of `path`, and create it if needed. Raises BentoError for a link."""
        with TreeWriter(Path(os.path.realpath(self.directory))) as tree:  # writes: output, the user's directory
            try:
                parent = tree.open_parent(path)[1]
            except OSError:
                _reject_links(self.directory, path.rpartition("/")[0])
                raise
            yield parent

    def _read(self, name: str) -> bytes:
        try:
            return _read_file(self.directory / name, 0 if self._follows_links else os.O_NOFOLLOW)
        except OSError:
            _reject_links(self.directory, name)
            raise


def index_content(entries: Sequence[Descriptor]) -> bytes:
    """Return the content of an index with the given entries."""
    manifests = [entry.to_json() for entry in entries]
    return oci.to_bytes({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": manifests})


def _name_of(entry: Descriptor) -> str:
    return entry.annotations.get(REFERENCE, "")


def _read_file(path: Path, flags: int = 0) -> bytes:
    """Return the content of a regular file in a layout. Raises OSError for other files, such as a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "file not found")
    return read_file(descriptor, str(path))  # closes the descriptor


def _reject_links(directory: Path, path: str) -> None:
    """Raise BentoError if a name in a path below a directory is a link, in place of the error of the system."""
    for name in path.split("/"):
        directory /= name
        if directory.is_symlink():
            problem = "the path is a symbolic link, which somebody else can have made"
            raise BentoError(problem, place=str(directory), remedy="Replace the link with a copy of its target.")
