"""Reads and writes BentoML's store of Bentos and models, without BentoML.

This package doesn't use the network, image builders, or servers. `bento_cli.library` is the API for scripts. `home`
defines the paths of the store.
"""
