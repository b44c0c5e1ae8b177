"""Entries of BentoML's model store."""
