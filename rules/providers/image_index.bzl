"""An OCI image index."""

load("//rules/private:checked.bzl", "checked")

_FIELDS = {
    "digest": "File - text: `sha256:<hex>` of the index, which names it.",
    "images": "tuple[BentoImageInfo] - an image for each platform.",
    "index": "File - the index, JSON.",
}

BentoImageIndexInfo, _new_image_index_info = provider(
    doc = "Images of one service for several platforms.",
    fields = _FIELDS,
    init = checked("BentoImageIndexInfo", _FIELDS),
)
