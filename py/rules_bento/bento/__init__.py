"""Assembles Bentos (options, images, `bento.yaml`, identity, `env/`), and parses bento.yaml and model.yaml.

This package doesn't depend on Bazel, stores, or networks.
"""
