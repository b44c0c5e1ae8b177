"""Deterministically builds Bentos and OCI images that contain Bentos."""
