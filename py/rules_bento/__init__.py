"""Builds Bentos for BentoML, and OCI images that contain Bentos, deterministically."""
