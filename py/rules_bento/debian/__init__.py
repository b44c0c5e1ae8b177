"""Debian packages: locking, reading, and building root file systems."""
