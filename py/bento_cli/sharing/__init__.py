"""Transfers entries of the store: registries, BentoCloud and Yatai, image builders, bundles, URLs, and servers."""
