"""BentoML's store of Bentos and models, read and written without BentoML.

This package doesn't use networks, builders, or servers. `library` is the API for scripts; `home` defines the paths.
"""
