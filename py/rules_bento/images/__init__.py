"""Builds image layers and OCI images, and reports their contents."""
