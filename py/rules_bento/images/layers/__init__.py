"""Writes layers: sorted tar members, compressed with gzip or zstd, in one pass or joined from parts."""
