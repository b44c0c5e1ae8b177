"""From Bentos, programs, and wheels to images: layers, validation, SBOMs, registries, and signatures.

In come Bentos, wheels, Debian packages, and bases; out go layers, configs, manifests, and transfers. Imports `base` and
`bentos`.
"""
