"""Selects the files of a Bento by patterns, and lists them with their digests in a manifest."""
