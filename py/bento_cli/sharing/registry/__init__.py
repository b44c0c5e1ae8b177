"""Entries of the store in OCI registries: docs/oci.md defines the format, the package `registry` the protocol."""
