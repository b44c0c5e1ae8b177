"""Reads the locks of other tools than uv."""
