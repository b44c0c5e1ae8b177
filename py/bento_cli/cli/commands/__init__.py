"""Implements the commands, which `cli/table.py` lists. They raise BentoError and OSError, which `main` reports."""
