"""Builds BentoML Bentos and OCI images of them, deterministically."""
