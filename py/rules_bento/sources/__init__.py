"""Selection of a Bento's files by patterns, and a manifest of the files with their digests."""
