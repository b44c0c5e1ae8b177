"""One layer of an image."""

BentoLayerInfo = provider(
    doc = "A layer: its bytes, and what an image has to know of them. Images are assembled from descriptions alone.",
    fields = {
        "blob": "File - the layer as a registry has it, a tar that may be compressed.",
        "description": "File - JSON: media_type, digest (`sha256:<hex>`), size (bytes), diff_id, uncompressed_size, name.",
    },
)
