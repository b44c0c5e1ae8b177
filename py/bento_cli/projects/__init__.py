"""Builds of Bentos from projects without Bazel, and migration of projects to Bazel."""
