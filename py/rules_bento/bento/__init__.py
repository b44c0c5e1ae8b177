"""Assembles Bentos (options, images, `bento.yaml`, identity, `env/`), and reads descriptors of Bentos and models.

This package doesn't depend on Bazel, stores, or networks.
"""
