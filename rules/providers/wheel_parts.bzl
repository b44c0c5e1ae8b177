"""The wheels of a closure, ready for layers."""

BentoWheelPartsInfo = provider(
    doc = "The wheels of a closure, each converted once for all images.",
    fields = {
        "parts": "depset[BentoWheelPartInfo] - one for each wheel.",
    },
)
