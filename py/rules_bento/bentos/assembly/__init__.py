"""Assembles Bentos from options, images, sources, and models, and parses bento.yaml and model.yaml.

This package doesn't depend on Bazel, stores, or networks.
"""
