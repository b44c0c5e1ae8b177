"""Builds Bentos from projects without Bazel, and migrates projects to Bazel."""
