"""Makes Bentos: joined settings, `bento.yaml`, the identity, and `env/`; reads the descriptors of Bentos and models.

It has no code for Bazel, stores, or networks.
"""
