"""Makes Bentos: joined settings, `bento.yaml`, the identity; builds them of folders, and migrates projects.

It knows nothing of Bazel, stores or networks.
"""
