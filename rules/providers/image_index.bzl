"""An OCI image index."""

BentoImageIndexInfo = provider(
    doc = "Images of one service for several platforms.",
    fields = {
        "digest": "File - text: `sha256:<hex>` of the index, which names it.",
        "images": "tuple[BentoImageInfo] - an image for each platform.",
        "index": "File - the index, JSON.",
    },
)
