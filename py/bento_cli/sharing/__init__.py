"""Sharing of entries through registries, BentoCloud, Yatai, bundles, and URLs, as images, and by serving."""
