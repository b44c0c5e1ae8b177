"""Reads and writes BentoML's store of Bentos and models, without BentoML.

This package doesn't use networks, builders, or servers. `library` is the API for scripts; `home` defines the paths.
"""
