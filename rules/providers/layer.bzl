"""One layer of an image."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "blob": "File - the layer as a registry has it, a tar that may be compressed; None for one that stays in its registry.",
    "description": "File - JSON: media_type, digest (`sha256:<hex>`), size (bytes), diff_id, uncompressed_size, name; perhaps annotations of its descriptor in manifests.",
    "origin": "str - `registry/repository` that has it; empty if it is made or lies here.",
}

BentoLayerInfo, _new_layer_info = provider(
    doc = "A layer: its bytes, and what an image has to know of them. Images are assembled from descriptions alone.",
    fields = _FIELDS,
    init = checked("BentoLayerInfo", _FIELDS, {"origin": ""}),
)
