"""Proves what is in an image, from wheels, packages, sources, and a base that the user trusts.

Doesn't import the modules that write layers, so that a fault of them can't hide itself. docs/proofs.md lists what
builds and proofs share.
"""
