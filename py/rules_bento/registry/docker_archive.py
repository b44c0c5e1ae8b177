"""Reads image archives in the docker format (`docker save`) or the OCI format, without unpacking the archives."""

from __future__ import annotations

import hashlib
import posixpath

from rules_bento.archives import tarread
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_json
from rules_bento.formats.schema import validate
from rules_bento.registry import descriptor as oci
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.pushable import FileSource, Pushable
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_MAX_DOCUMENT = 16 << 20
_MAX_NAMES = 64 << 20
_MAX_LINKS = 40


def read(path: Path) -> Pushable:
    """Return the image or index in an archive. Raises BentoError if the archive is invalid or has several images."""
    with path.open("rb") as file:
        archive = _Archive(path, file)
        return archive.oci() if "index.json" in archive.members else archive.docker()


class _ArchiveMember(NamedTuple):
    member: tarread.TarMember
    offset: int


class _Archive:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.members: dict[str, _ArchiveMember] = {}
        stream = tarread.SeekableReader(file, f"{path}: not an uncompressed tar archive from `docker save`")
        names = 0
        for member, _ in tarread.members(stream, tarread.SYSTEM):
            names += len(member.name) + len(member.link)
            if names > _MAX_NAMES:
                raise BentoError(
                    f"{path}: the file names exceed {_MAX_NAMES} bytes in total. Use an archive from `docker save`."
                )
            self.members[posixpath.normpath(member.name)] = _ArchiveMember(member, stream.position)

    def oci(self) -> Pushable:
        """Return the image in an OCI archive (a tar file of an OCI layout)."""
        root_index = Manifest.read(self._content("index.json"), oci.INDEX, f"{self._path}: index.json")
        entries = {entry.digest: entry for entry in root_index.children()}
        if len(entries) != 1:
            raise BentoError(f"{self._path}: expected one image, got {len(entries)}. Save each image separately.")
        root = self._manifest(next(iter(entries.values())))
        children = oci.collect_manifests(root.children(), self._manifest)
        blobs = [blob for manifest in (*children, root) for blob in manifest.blobs()]
        present = {blob.digest: _blob_name(blob.digest) for blob in blobs if _blob_name(blob.digest) in self.members}
        return Pushable(root, children, {digest: self._source(name) for digest, name in present.items()})

    def docker(self) -> Pushable:
        """Return the image in a docker archive. Creates a manifest, because the format has none."""
        origin = f"{self._path}: manifest.json"
        listed = read_json(self._content("manifest.json"), origin)
        if not isinstance(listed, list) or len(listed) != 1:
            raise BentoError(f"{origin}: expected exactly one image. Save each image separately.")
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
        size = self._member(name).member.size
        digester = hashlib.sha256()
        first = b""
        for piece in self._source(name).pieces(0, size):
            digester.update(piece)
            first = first or piece
        return Descriptor(oci.tar_layer_type(first), f"sha256:{digester.hexdigest()}", size)

    def _manifest(self, entry: Descriptor) -> Manifest:
        origin = f"{self._path}: {entry.digest}"
        content = oci.verify(self._content(_blob_name(entry.digest)), entry.digest, origin)
        return Manifest.read(content, entry.media_type, origin)

    def _content(self, name: str) -> bytes:
        place = self._member(name)
        if place.member.size > _MAX_DOCUMENT:
            raise BentoError(
                f"{self._path}: {name} exceeds the limit of {_MAX_DOCUMENT} bytes. Specify an archive from "
                "`docker save`."
            )
        self._file.seek(place.offset)
        return self._file.read(place.member.size)

    def _source(self, name: str) -> FileSource:
        return FileSource(self._path, self._member(name).offset)

    def _member(self, name: str) -> _ArchiveMember:
        """Return the file `name`. Follows links, because docker stores duplicate layers as links."""
        name = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            place = self.members.get(name)
            if place is None or place.member.kind not in ("file", "link", "hard link"):
                break
            if place.member.kind == "file":
                return place
            link = place.member.link
            target = link if place.member.kind == "hard link" else posixpath.join(posixpath.dirname(name), link)
            name = posixpath.normpath(target)
        raise BentoError(f"{self._path}: missing file {name!a}. Save the image again with `docker save`.")


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)
