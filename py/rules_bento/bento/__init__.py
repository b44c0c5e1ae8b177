"""Assembly of Bentos (options, images, `bento.yaml`, identity, `env/`), and parsing of bento.yaml and model.yaml.

This package doesn't depend on Bazel, stores, or networks.
"""
