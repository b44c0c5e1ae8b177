"""Debian packages: locked, read, and made into root file systems."""
