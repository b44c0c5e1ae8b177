"""Reads and writes BentoML's store of Bentos and models, without BentoML.

The package has no code for networks, builders, or servers. `library` is the API for scripts; `home` defines the paths.
"""
