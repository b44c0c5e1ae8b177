"""Builds Bentos without Bazel, and migrates projects to Bazel."""
