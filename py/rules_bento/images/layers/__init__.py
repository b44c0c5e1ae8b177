"""Layers: ordered tar members, compressed by gzip or zstd, written at once or joined from parts."""
