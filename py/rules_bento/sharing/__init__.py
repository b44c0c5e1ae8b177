"""Entries of the store to and from others: registries, clouds, builders of images, bundles, URLs, servers."""
