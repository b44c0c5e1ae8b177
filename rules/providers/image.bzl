"""An OCI image."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "bento_yaml": "File - `bento.yaml` of the Bento that it serves, with all that this needs; None of an image of a model alone, and of one whose models are mounted.",
    "build_definition": "File - JSON: SLSA's `buildDefinition`, of what it is made; None of an image of a model alone.",
    "config": "File - the image's config, JSON.",
    "digest": "File - text: `sha256:<hex>` of the manifest, which names the image.",
    "layers": "tuple[BentoLayerInfo] - from the lowest up.",
    "manifest": "File - the image's manifest, JSON.",
    "referrers": "tuple[struct(file: File, media_type: str)] - what goes with it to a registry: its bill of materials.",
}

BentoImageInfo, _new_image_info = provider(
    doc = "An image: two small documents, and the layers that they name.",
    fields = _FIELDS,
    init = checked("BentoImageInfo", _FIELDS),
)
