"""What a lock is made from."""

BentoRequirementsInfo = provider(
    doc = "The sources of a lock and what else decides about it.",
    fields = {
        "arguments": "tuple[str] - flags of the helper, those for the sources left out.",
        "constraints": "tuple[File] - files that limit versions.",
        "overrides": "tuple[File] - files that stand for what packages ask of one another.",
        "sources": "tuple[File] - files that state requirements.",
        "update": "Label - the target that writes the lock.",
    },
)
