"""Decides which files of a project a Bento has: patterns, the snapshot, the manifest with their digests."""
