"""Accesses OCI registries, and reads and writes OCI image layouts, with the standard library only."""
