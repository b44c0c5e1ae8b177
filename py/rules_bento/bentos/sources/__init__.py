"""Selects the files of a Bento by patterns, and lists the files with their digests in a manifest."""
