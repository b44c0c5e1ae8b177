"""Entries of BentoML's model store, and what references them."""
