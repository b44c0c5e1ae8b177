"""Bentos and models as OCI artifacts, and signatures next to their subjects."""
