"""Evaluates the part of Python that declares services. It runs nothing of what it reads."""
