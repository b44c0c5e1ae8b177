"""Proves what is in an OCI image that rules_bento built. Imports nothing of rules_bento; see README.md."""
