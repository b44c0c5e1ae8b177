"""Checks whether images can run their content."""
