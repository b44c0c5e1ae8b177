"""Converts Bentos and models to OCI artifacts, and stores signatures next to the signed artifacts."""
