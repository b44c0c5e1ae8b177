"""Writes HTML reports about the contents of Bentos and images."""
