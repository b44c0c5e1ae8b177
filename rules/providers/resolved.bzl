"""What uv says of a package of a lock."""

BentoResolvedInfo = provider(
    doc = "What uv says of a package alone, asked once for all who require it.",
    fields = {"answer": "File - JSON: the pinned requirements of its closure."},
)
