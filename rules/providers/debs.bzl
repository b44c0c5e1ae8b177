"""What a lock of Debian packages is made from."""

BentoDebsInfo = provider(
    doc = "What is locked, and by which target.",
    fields = {
        "arguments": "tuple[str] - flags of the helper.",
        "update": "Label - the target that writes the lock.",
    },
)
