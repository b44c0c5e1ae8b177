"""Transfers entries to and from registries, BentoCloud, Yatai, bundles, and URLs, builds images, and serves Bentos."""
