"""Packs models from the store into images for KServe and CNCF ModelPack artifacts, as `bento_model_image` does."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from rules_bento.base.archives import sha256_of
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.formats.oci import MANIFEST, Layer, digest_of
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator
from rules_bento.bentos.models.weights import check_weights
from rules_bento.bentos.sources.tree_manifest import mode_of, open_source
from rules_bento.images import oci_image
from rules_bento.images.layers.layer import MEDIA_TYPES, Sum, stream_files_layer
from rules_bento.images.plan import USER, WEIGHTS_SUFFIXES, weights_groups
from rules_bento.images.registry.blob_sources import BlobSource, BytesSource, FileSource, Pushable
from rules_bento.images.registry.descriptor import Manifest

from bento_cli.sharing.native_image import regular_files
from bento_cli.sharing.registry.packing import StreamedPart

if TYPE_CHECKING:
    from bento_cli.store.entry_store import Entry


class _StreamedLayer(StreamedPart):
    """A gzip layer that is generated for each request. After `measure`, `tar` is the digest of the uncompressed tar."""

    tar = Sum()

    def _pieces(self) -> Iterator[bytes]:
        self.tar = Sum()
        return stream_files_layer(self._members, "gzip", self.tar)


@contextmanager
def packed(model: Entry, form: str) -> Iterator[Pushable]:
    """Yield the image (`form` is `kserve`) or the artifact (`modelpack`) of a model.

    Reads the files twice: to compute the digests, and to send the layers. Raises BentoError for symbolic links, because
    the layers contain only files, and for weights that can't be loaded.
    """
    create = _kserve if form == "kserve" else _modelpack
    image, sources = create(model)
    sources[digest_of(image.config)] = BytesSource(image.config)
    yield Pushable(Manifest.read(image.manifest, MANIFEST, str(model.tag)), (), sources)


def _kserve(model: Entry) -> tuple[oci_image.OciImage, dict[str, BlobSource]]:
    uid, name = int(USER), f"model {model.tag}"
    files = []
    for member in regular_files(model, "models/", "KServe doesn't support. Replace the link with a file."):
        with open_source(str(member.source)) as file:
            files.append(member._replace(mode=mode_of(file.read(4)), uid=uid, gid=uid))
    check_weights({file.path.removeprefix("models/"): str(file.source) for file in files}, str(model.tag))
    weights = sorted((file for file in files if file.path.endswith(WEIGHTS_SUFFIXES)), key=lambda file: file.path)
    layers, sources = [], dict[str, "BlobSource"]()
    for group in [*weights_groups(weights), [file for file in files if file not in weights]]:
        source = _StreamedLayer([Member.directory("models", uid=uid, gid=uid), *group])
        sha256, size = source.measure()
        layers.append(Layer(MEDIA_TYPES["gzip"], f"sha256:{sha256}", size, source.tar.digest, name=name))
        sources[layers[-1].digest] = source
    created = model.moment.isoformat()
    annotations = oci_image.standard_annotations(created, [model.tag])
    return oci_image.make_image(layers, oci_image.data_config(created, annotations, {})), sources


def _modelpack(model: Entry) -> tuple[oci_image.OciImage, dict[str, BlobSource]]:
    members = regular_files(model, "", "ModelPack doesn't support. Replace the link with a file.")
    files = {member.path: str(member.source) for member in members}
    check_weights(files, str(model.tag))
    layers, sources = [], dict[str, "BlobSource"]()
    for path, source in sorted(files.items()):
        layer = oci_image.modelpack_layer(path, f"sha256:{sha256_of(source)}", Path(source).stat().st_size)
        layers.append(layer)
        sources[layer.digest] = FileSource(Path(source))
    created = model.moment.isoformat()
    annotations = oci_image.standard_annotations(created, [model.tag])
    return oci_image.make_modelpack(model.tag, created, layers, annotations), sources
