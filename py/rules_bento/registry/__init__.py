"""Accesses OCI registries, and reads and writes OCI image layouts. Uses only the standard library."""
