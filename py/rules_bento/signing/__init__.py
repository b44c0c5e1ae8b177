"""Signatures and provenance in cosign's forms: keys, payloads, envelopes, bundles and detached signatures of files.

Whoever pushes or signs has the key, and it goes no further than their process: actions import `provenance` alone, which
knows of none.
"""
