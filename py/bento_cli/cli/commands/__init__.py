"""Implementations of the commands in `cli/table.py`. They raise BentoError and OSError, which `main` reports."""
