"""The wheels of a closure, as layers."""

BentoWheelLayersInfo = provider(
    doc = "The wheels of a closure: large ones as layers that all images share, small ones still to be grouped.",
    fields = {
        "large": "depset[BentoLayerInfo] - a layer for each large wheel.",
        "small": "depset[BentoWheelInfo] - the others.",
    },
)
