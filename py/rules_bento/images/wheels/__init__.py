"""Wheels: read strictly, laid out as an installer does; their shared libraries and their byte code."""
