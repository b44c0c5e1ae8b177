"""Implements the commands that `cli/table.py` lists. Commands raise BentoError and OSError, which `main` reports."""
