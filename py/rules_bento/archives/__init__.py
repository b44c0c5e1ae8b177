"""Reads and writes archives of Bentos and models."""
