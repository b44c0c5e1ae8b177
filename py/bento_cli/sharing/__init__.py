"""Transfers entries through registries, layouts, BentoCloud, Yatai, and URLs. Also builds images and serves Bentos."""
