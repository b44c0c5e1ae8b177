"""Packs models from the store into images for KServe, with the same gzip layers as `bento_model_image`."""

from __future__ import annotations

from contextlib import contextmanager

from rules_bento.archives.tarstream import Member
from rules_bento.errors import BentoError
from rules_bento.formats.oci import MANIFEST, digest_of
from rules_bento.images import oci_image
from rules_bento.images.layers.layer import MEDIA_TYPES, Sum, stream_files_layer
from rules_bento.registry.descriptor import Manifest
from rules_bento.registry.pushable import BytesSource, Pushable
from rules_bento.sources.manifest import mode_of, open_source
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

from bento_cli.sharing.native_image import USER, WEIGHTS, weights_groups
from bento_cli.sharing.registry.packing import StreamedPart
from bento_cli.store.export import walk

if TYPE_CHECKING:
    from rules_bento.registry.pushable import BlobSource

    from bento_cli.sharing.registry.packing import EntryArtifact


class _StreamedLayer(StreamedPart):
    """A gzip layer that is generated for each request. After `measure`, `tar` is the digest of the uncompressed tar."""

    tar = Sum()

    def _pieces(self) -> Iterator[bytes]:
        self.tar = Sum()
        return stream_files_layer(self._members, "gzip", self.tar)


@contextmanager
def packed(described: EntryArtifact) -> Iterator[Pushable]:
    """Yield the image of a model. Reads the files twice: to compute the digests, and to send the layers.

    Raises BentoError for symbolic links, because KServe mounts only the directory of the model.
    """
    model = described.entry
    files = []
    for member in walk(model.path, ""):
        path = f"models/{member.path}"
        if member.link is not None:
            raise BentoError(
                f"{model.tag}: {path} is a symbolic link, which KServe doesn't support. Replace the link with a file."
            )
        if member.source:
            with open_source(member.source) as file:
                mode = mode_of(file.read(4))
            files.append(member._replace(path=path, mode=mode, uid=int(USER), gid=int(USER)))
    weights = sorted((file for file in files if file.path.endswith(WEIGHTS)), key=lambda file: file.path)
    layers, sources = [], dict[str, "BlobSource"]()
    for group in [*weights_groups(weights), [file for file in files if file not in weights]]:
        source = _StreamedLayer([Member.directory("models", uid=int(USER), gid=int(USER)), *group])
        sha256, size = source.measure()
        layers.append(
            oci_image.Layer(MEDIA_TYPES["gzip"], f"sha256:{sha256}", size, source.tar.digest, f"model {model.tag}")
        )
        sources[layers[-1].digest] = source
    created = model.moment.isoformat()
    annotations = oci_image.standard_annotations(created, [model.tag])
    image = oci_image.make_image(layers, oci_image.data_config(created, annotations, {}))
    sources[digest_of(image.config)] = BytesSource(image.config)
    yield Pushable(Manifest.read(image.manifest, MANIFEST, str(model.tag)), (), sources)
