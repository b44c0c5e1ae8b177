"""Transfers entries to and from OCI registries. docs/oci.md defines the format of the artifacts."""
