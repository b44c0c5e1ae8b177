"""Selects the files of a Bento: patterns, the snapshot, and the manifest with its digests."""
