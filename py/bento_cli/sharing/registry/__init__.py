"""Transfers entries to and from OCI registries. docs/distribution.md defines the format of the artifacts."""
