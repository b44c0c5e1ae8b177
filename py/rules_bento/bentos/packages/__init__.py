"""Reads requirements, locks Python packages, resolves lock subsets, builds wheels, and creates virtual environments."""
