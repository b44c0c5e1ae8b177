"""Images in one tar: what `docker save` writes, of old and of now, and OCI archives. Read in place, not unpacked."""

from __future__ import annotations

import hashlib
import posixpath

from rules_bento.archives import tarread
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_json
from rules_bento.registry import descriptor as oci
from rules_bento.registry.blob_sources import FileSource
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.pushable import Package
from rules_bento.typing_lite import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_SMALL = 16 << 20
_MOST_NAMES = 64 << 20
_PIECE = 1 << 20
_MOST_LINKS = 40
# Compression of a layer by its first bytes; a plain tar has none of these.
_MAGIC = {b"\x1f\x8b": "+gzip", b"\x28\xb5\x2f\xfd": "+zstd"}


def read(path: Path) -> Package:
    """Return the only image (or index) of an archive, as `push` takes it.

    Raises BentoError unless there is exactly one.

    Layers of an archive without digests are hashed; their bytes stay where they are.
    """
    with path.open("rb") as file:
        archive = _Archive(path, file)
        return archive.oci() if "index.json" in archive.members else archive.docker()


class _Place(NamedTuple):
    """Holds a member, and where its bytes begin."""

    member: tarread.TarMember
    offset: int


class _Archive:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Find what is in the archive. Raises BentoError for what is no tar, or one with too many members."""
        self._path = path
        self._file = file
        self.members: dict[str, _Place] = {}
        stream = tarread.BytesOfFile(file, f"{path}: not an uncompressed tar of an image, as `docker save` writes")
        names = 0
        for member, _ in tarread.members(stream, tarread.SYSTEM):
            names += len(member.name) + len(member.link)
            if names > _MOST_NAMES:
                raise BentoError(f"{path}: has more than {_MOST_NAMES} characters of names. Give an image's archive.")
            self.members[posixpath.normpath(member.name)] = _Place(member, stream.position)

    def oci(self) -> Package:
        """Return the image of an OCI archive: a layout in a tar."""
        root_index = Manifest.read(self._content("index.json"), oci.INDEX, f"{self._path}: index.json")
        entries = {entry.digest: entry for entry in root_index.children()}
        if len(entries) != 1:
            raise BentoError(f"{self._path}: has {len(entries)} images, one is wanted.")
        root = self._manifest(next(iter(entries.values())))
        children = oci.descend(root.children(), self._manifest)
        blobs = [blob for manifest in (*children, root) for blob in manifest.blobs()]
        present = {blob.digest: _blob_name(blob.digest) for blob in blobs if _blob_name(blob.digest) in self.members}
        return Package(root, children, {digest: self._source(name) for digest, name in present.items()})

    def docker(self) -> Package:
        """Return the image of an archive in docker's own form, with a manifest that is made here."""
        listed = self._json("manifest.json")
        if not isinstance(listed, list) or len(listed) != 1:
            raise BentoError(f"{self._path}: its manifest.json does not list one image.")
        config_name, names = _named(listed[0], f"{self._path}: manifest.json")
        config = self._content(config_name)
        sources = {oci.digest_of(config): self._source(config_name)}
        layers = []
        for name in names:
            layer = self._layer(name)
            layers.append(layer.to_json())
            sources[layer.digest] = self._source(name)
        document = {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": Descriptor.of(config, oci.CONFIG).to_json(),
            "layers": layers,
        }
        return Package(Manifest.read(oci.to_bytes(document), oci.MANIFEST, str(self._path)), (), sources)

    def _layer(self, name: str) -> Descriptor:
        place = self._member(name)
        digester = hashlib.sha256()
        self._file.seek(place.offset)
        first = piece = self._file.read(min(_PIECE, place.member.size))
        remaining = place.member.size
        while piece:
            digester.update(piece)
            remaining -= len(piece)
            piece = self._file.read(min(_PIECE, remaining))
        suffix = next((suffix for magic, suffix in _MAGIC.items() if first.startswith(magic)), "")
        return Descriptor(oci.TAR_LAYER + suffix, f"sha256:{digester.hexdigest()}", place.member.size)

    def _manifest(self, entry: Descriptor) -> Manifest:
        origin = f"{self._path}: {entry.digest}"
        content = oci.verify(self._content(_blob_name(entry.digest)), entry.digest, origin)
        return Manifest.read(content, entry.media_type, origin)

    def _json(self, name: str) -> Any:
        return read_json(self._content(name), f"{self._path}: {name}")

    def _content(self, name: str) -> bytes:
        place = self._member(name)
        if place.member.size > _SMALL:
            raise BentoError(f"{self._path}: {name} is not a small file.")
        self._file.seek(place.offset)
        return self._file.read(place.member.size)

    def _source(self, name: str) -> FileSource:
        return FileSource(self._path, self._member(name).offset)

    def _member(self, name: str) -> _Place:
        """Return the file of a name: docker links a layer that it has written already."""
        name = posixpath.normpath(name)
        for _ in range(_MOST_LINKS):
            place = self.members.get(name)
            if place is None or place.member.kind not in ("file", "link", "hard link"):
                break
            if place.member.kind == "file":
                return place
            link = place.member.link
            target = link if place.member.kind == "hard link" else posixpath.join(posixpath.dirname(name), link)
            name = posixpath.normpath(target)
        raise BentoError(f"{self._path}: the file {name!a} is not in it. Write the archive again.")


def _named(image: Any, origin: str) -> tuple[str, list[str]]:
    """Return the files of an image's config and layers. Raises BentoError for an entry of another shape."""
    if isinstance(image, dict):
        config, layers = image.get("Config"), image.get("Layers")
        if isinstance(config, str) and isinstance(layers, list) and all(isinstance(name, str) for name in layers):
            return config, layers
    raise BentoError(f"{origin}: its image names no Config and Layers. Give what `docker save` writes.")


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)
