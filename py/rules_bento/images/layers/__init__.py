"""Layers: tar members in order, compressed by gzip or zstd, whole or as parts that are joined."""
