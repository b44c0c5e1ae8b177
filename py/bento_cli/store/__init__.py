"""Reads and writes BentoML's store of Bentos and models, without BentoML.

This package doesn't use the network, image builders, or servers. Scripts use this package through `bento_cli.library`.
The module `home` defines the paths of the store.
"""
