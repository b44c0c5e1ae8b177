"""Making a Bento: settings joined, `bento.yaml`, the identity; a Bento of a folder; moving a project over.

It knows nothing of Bazel, stores or networks.
"""
