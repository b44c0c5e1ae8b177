"""The packages of an image."""

BentoInstalledInfo = provider(
    doc = "The Python packages that an image has of a lock.",
    fields = {
        "packages": "depset[File] - JSON: what the lock has of each of them.",
        "wheels": "depset[BentoWheelInfo] - their wheels.",
    },
)
