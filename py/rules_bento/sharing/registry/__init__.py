"""Entries of the store in OCI registries: docs/oci.md has the format, `registry` the protocol."""
