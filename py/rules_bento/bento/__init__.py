"""Assembles Bentos: options, images, `bento.yaml`, identity, and `env/`. Reads the descriptors of Bentos and models.

This package doesn't depend on Bazel, stores, or networks.
"""
