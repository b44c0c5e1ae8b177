"""Holds the subcommands that `bazel run` and `bazel test` start, one per module: those that use a network or a store.

The modules have the same interface as the modules of `actions`.
"""
