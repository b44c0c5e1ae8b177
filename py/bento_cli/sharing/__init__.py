"""Transfers entries through registries, BentoCloud, Yatai, bundles, and URLs. Also builds images and serves Bentos."""
