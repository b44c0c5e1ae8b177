"""Builds Bentos without Bazel."""
