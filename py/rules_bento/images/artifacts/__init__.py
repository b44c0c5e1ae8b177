"""Converts Bentos and models to OCI artifacts, and stores the signatures of artifacts."""
