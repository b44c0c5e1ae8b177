"""Searches the files of a Bento for secrets."""
