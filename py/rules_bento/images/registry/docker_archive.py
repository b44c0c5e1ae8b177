"""Reads image archives in the docker format (`docker save`) or the OCI format, without unpacking the archives."""

from __future__ import annotations

import hashlib
import posixpath
from contextlib import contextmanager

from rules_bento.base.archives import tarread
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_json
from rules_bento.base.formats.oci import blob_path
from rules_bento.base.formats.schema import validate
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Iterator
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import FileSource, Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest

if TYPE_CHECKING:
    from pathlib import Path

_MAX_DOCUMENT = 16 << 20
_MAX_NAMES = 64 << 20
_MAX_LINKS = 40


def read(path: Path) -> Pushable:
    """Return the image or index in an archive. Raises BentoError if the archive is invalid or has several images."""
    with opened(path, "`docker save`") as archive:
        return archive.oci() if "index.json" in archive.members else archive.docker()


@contextmanager
def opened(path: Path, tool: str) -> Iterator[ImageArchive]:
    """Open an archive. `tool` is the program that creates such archives, for messages."""
    with path.open("rb") as file:
        yield ImageArchive(path, file, tool)


class ImageArchive:
    """An archive of images. In the OCI format, the archive has the methods of a layout (`layout.Layout`)."""

    def __init__(self, path: Path, file: BinaryIO, tool: str) -> None:
        self._path = path
        self._file = file
        self._tool = tool
        self.members: dict[str, tuple[tarread.TarMember, int]] = {}  # with the offset of the content
        stream = tarread.SeekableReader(file, f"{path}: not an uncompressed tar archive from {tool}")
        names = 0
        for member, _ in tarread.members(stream, tarread.SYSTEM):
            names += len(member.name) + len(member.link)
            if names > _MAX_NAMES:
                problem = f"the file names exceed {_MAX_NAMES} bytes in total"
                raise BentoError(problem, place=str(path), remedy=f"Use an archive from {tool}.")
            self.members[posixpath.normpath(member.name)] = member, stream.position

    def oci(self) -> Pushable:
        """Return the image in an OCI archive (a tar file of an OCI layout)."""
        entries = {entry.digest: entry for entry in self.index()}
        if len(entries) != 1:
            problem = f"expected one image, got {len(entries)}"
            raise BentoError(problem, place=str(self._path), remedy="Save each image separately.")
        root = self._entry(next(iter(entries.values())))
        children = oci.collect_manifests(root.children(), self._entry)
        blobs = [blob for manifest in (*children, root) for blob in manifest.blobs()]
        present = {blob.digest: blob_path(blob.digest) for blob in blobs if blob_path(blob.digest) in self.members}
        return Pushable(root, children, {digest: self._source(name) for digest, name in present.items()})

    def docker(self) -> Pushable:
        """Return the image in a docker archive. Creates a manifest, because the format has none."""
        origin = f"{self._path}: manifest.json"
        listed = read_json(self._content("manifest.json"), origin)
        if not isinstance(listed, list) or len(listed) != 1:
            raise BentoError("expected exactly one image", place=origin, remedy="Save each image separately.")
        validate(
            listed[0], {"Config": str, "Layers": [str]}, f"{origin}: the image", "Save the image with `docker save`."
        )
        config_name, names = listed[0]["Config"], listed[0]["Layers"]
        config = self._content(config_name)
        sources = {oci.digest_of(config): self._source(config_name)}
        layers = []
        for name in names:
            layer = self._layer(name)
            layers.append(layer.to_json())
            sources[layer.digest] = self._source(name)
        described = Descriptor.from_content(config, oci.CONFIG).to_json()
        document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described, "layers": layers}
        return Pushable(Manifest.read(oci.to_bytes(document), oci.MANIFEST, str(self._path)), (), sources)

    def _layer(self, name: str) -> Descriptor:
        size = self._member(name)[0].size
        digester = hashlib.sha256()
        first = b""
        for piece in self._source(name).pieces(0, size):
            digester.update(piece)
            first = first or piece
        return Descriptor(oci.tar_layer_type(first), f"sha256:{digester.hexdigest()}", size)

    def index(self) -> list[Descriptor]:
        """Return the entries of index.json. Raises BentoError if the file is missing or invalid."""
        return Manifest.read(self._content("index.json"), oci.INDEX, f"{self._path}: index.json").children()

    def manifest(self, digest: str, media_type: str = "") -> Manifest:
        """Return a manifest, and verify its digest. Raises BentoError for a missing or invalid manifest."""
        return Manifest.read(self._verified(digest), media_type, f"{self._path}: {digest}")

    def read(self, blob: Descriptor) -> bytes:
        """Return the verified content of a blob. Raises BentoError if the blob is missing, invalid, or too large."""
        return self._verified(blob.digest)

    def source(self, blob: Descriptor) -> FileSource:
        """Return the source of a blob. Raises BentoError if the blob is missing or has another size."""
        name = blob_path(blob.digest)
        if self._member(name)[0].size != blob.size:
            raise BentoError(f"{name} isn't {blob.size} bytes long", place=str(self._path), remedy=self._remedy)
        return self._source(name)

    @property
    def _remedy(self) -> str:
        return f"Create the archive again with {self._tool}."

    def _entry(self, entry: Descriptor) -> Manifest:
        return self.manifest(entry.digest, entry.media_type)

    def _verified(self, digest: str) -> bytes:
        return oci.verify(self._content(blob_path(digest)), digest, f"{self._path}: {digest}")

    def _content(self, name: str) -> bytes:
        member, offset = self._member(name)
        if member.size > _MAX_DOCUMENT:
            problem = f"{name} exceeds the limit of {_MAX_DOCUMENT} bytes"
            raise BentoError(problem, place=str(self._path), remedy=self._remedy)
        self._file.seek(offset)
        return self._file.read(member.size)

    def _source(self, name: str) -> FileSource:
        return FileSource(self._path, self._member(name)[1])

    def _member(self, name: str) -> tuple[tarread.TarMember, int]:
        """Return the file `name`. Follows links, because docker stores duplicate layers as links."""
        name = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            place = self.members.get(name)
            if place is None or place[0].kind not in ("file", "link", "hard link"):
                break
            if place[0].kind == "file":
                return place
            link = place[0].link
            target = link if place[0].kind == "hard link" else posixpath.join(posixpath.dirname(name), link)
            name = posixpath.normpath(target)
        raise BentoError(f"missing file {name!a}", place=str(self._path), remedy=self._remedy)
