"""Deterministic builds of Bentos for BentoML, and of OCI images that contain Bentos."""
