"""Locks and reads Debian packages, and builds root file systems from packages."""
