"""Implements the commands in `cli/table.py`. Commands raise BentoError and OSError, which `main` reports."""
